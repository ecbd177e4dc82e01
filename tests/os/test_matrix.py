"""Every route, every kind of caller, generated from the route table."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from licet.authz.permission import Permission
from licet.os.rules import Rule
from licet.os.table import Entry
from licet.telemetry import Telemetry
from licet.testing import TokenFactory
from tests.support.live import LiveServer, serve
from tests.support.world import (
    CLIENT_ID,
    ISSUER,
    OWNER,
    RUN_ID,
    SESSION_ID,
    STRANGER,
    IssuerTokens,
    World,
)

TOKENS = IssuerTokens()
WORLD = World(tokens=TOKENS)
AGENT_OS = WORLD.agent_os(
    config={"issuer": ISSUER, "oidc_client_id": CLIENT_ID},
    # Whoever looks on changes no answer; and there is one at /telemetry/metrics.
    telemetry=Telemetry(),
)
ENTRIES = list(AGENT_OS.route_table().entries())
OTHER_KEY = TokenFactory(fresh_key=True)


@dataclass(frozen=True)
class Recipe:
    """How to call a route so that only the policy can stand in the way."""

    success: int = 200
    send: dict[str, Any] | Callable[[], dict[str, Any]] = field(default_factory=dict)
    foreign: int = 200
    """What somebody else with the same scopes gets: 404, or as if the thing did not exist."""
    asks_for_more: bool = False
    """Whether more than its scope decides: a schedule asks for the run of its agent, too."""


def new_account() -> dict[str, Any]:
    """No two service accounts have one name."""
    asked = {"name": f"made-{uuid.uuid4()}", "scopes": [{"scope": "service_accounts:write"}]}
    return {"json": {**asked, "allow_privileged_scopes": True}}


def logout() -> dict[str, Any]:
    """A logout token is used once."""
    return {"data": {"logout_token": TOKENS.logout_token(sub="nobody-here")}}


SCHEDULE = {"json": {"name": "new", "endpoint": "/agents/alpha/runs"}}
RUN = {"data": {"message": "hi", "stream": "false", "session_id": SESSION_ID}}
IN_SESSION = {"params": {"session_id": SESSION_ID}}
OF_SESSION = {"data": {"session_id": SESSION_ID}}
RECIPES = {
    "GET /": Recipe(),
    "GET /docs": Recipe(),
    "GET /docs/oauth2-redirect": Recipe(),
    "GET /redoc": Recipe(),
    "GET /openapi.json": Recipe(),
    "GET /health": Recipe(),
    "GET /health/live": Recipe(),
    "GET /health/ready": Recipe(),
    "GET /info": Recipe(),
    "GET /config": Recipe(),
    "GET /models": Recipe(),
    "GET /agents": Recipe(),
    "GET /agents/{agent_id}": Recipe(),
    "POST /agents/{agent_id}/runs": Recipe(send=RUN),
    "GET /agents/{agent_id}/runs": Recipe(send=IN_SESSION, foreign=404),
    "GET /agents/{agent_id}/runs/{run_id}": Recipe(send=IN_SESSION, foreign=404),
    "GET /agents/{agent_id}/runs/{run_id}/events": Recipe(send=IN_SESSION, foreign=404),
    "POST /agents/{agent_id}/runs/{run_id}/resume": Recipe(send=OF_SESSION, foreign=404),
    # The run has ended: that is what only they hear who may cancel it.
    "POST /agents/{agent_id}/runs/{run_id}/cancel": Recipe(409, IN_SESSION, 404),
    # It waits for nobody, which only they hear who may go on with it.
    "POST /agents/{agent_id}/runs/{run_id}/continue": Recipe(409, OF_SESSION, 404),
    "GET /approvals": Recipe(),
    "GET /approvals/count": Recipe(),
    "GET /approvals/{approval_id}": Recipe(),
    "GET /approvals/{approval_id}/status": Recipe(),
    "POST /approvals/{approval_id}/resolve": Recipe(200, {"json": {"status": "approved"}}),
    # Its run has not ended.
    "DELETE /approvals/{approval_id}": Recipe(409),
    "GET /sessions": Recipe(),
    "POST /sessions": Recipe(201, {"json": {"session_id": "fresh"}}, 201),
    "DELETE /sessions": Recipe(
        204,
        {"json": {"session_ids": [SESSION_ID], "session_types": ["agent"]}},
        204,
    ),
    "GET /sessions/{session_id}": Recipe(foreign=404),
    "PATCH /sessions/{session_id}": Recipe(200, {"json": {"session_name": "taken"}}, 404),
    "DELETE /sessions/{session_id}": Recipe(204, foreign=204),
    "POST /sessions/{session_id}/rename": Recipe(200, {"json": {"session_name": "taken"}}, 404),
    "GET /sessions/{session_id}/runs": Recipe(foreign=404),
    "GET /sessions/{session_id}/run-previews": Recipe(foreign=404),
    "GET /sessions/{session_id}/runs/{run_id}": Recipe(foreign=404),
    "GET /schedules": Recipe(),
    "POST /schedules": Recipe(403, SCHEDULE, 403, asks_for_more=True),
    "GET /schedules/{schedule_id}": Recipe(foreign=404),
    "PATCH /schedules/{schedule_id}": Recipe(403, SCHEDULE, 404, asks_for_more=True),
    "DELETE /schedules/{schedule_id}": Recipe(204, foreign=204),
    "POST /schedules/{schedule_id}/enable": Recipe(403, foreign=404, asks_for_more=True),
    "POST /schedules/{schedule_id}/disable": Recipe(foreign=404),
    # Nothing outlives this process.
    "POST /schedules/{schedule_id}/trigger": Recipe(503, foreign=404, asks_for_more=True),
    "GET /schedules/{schedule_id}/runs": Recipe(foreign=404),
    "GET /schedules/{schedule_id}/runs/{run_id}": Recipe(foreign=404),
    "GET /service-accounts": Recipe(),
    "POST /service-accounts": Recipe(201, new_account),
    "POST /service-accounts/{service_account_id}/rotate": Recipe(201),
    "DELETE /service-accounts/{service_account_id}": Recipe(204),
    "GET /revocations": Recipe(),
    "POST /revocations": Recipe(201, {"json": {"token_id": "stolen"}}),
    "DELETE /revocations/{revocation_id}": Recipe(204),
    "POST /oidc/backchannel-logout": Recipe(200, logout),
    "GET /audit": Recipe(),
    "GET /telemetry/metrics": Recipe(),
    "POST /authz/explain": Recipe(200, {"json": {"method": "GET", "path": "/agents"}}),
}
# Design: these are the organisation's, whoever made them.
ORGANISATIONS = ("approvals", "service_accounts", "revocations", "audit", "authz", "telemetry")
OBJECTS = {"agent_id": "alpha", "session_id": SESSION_ID, "run_id": RUN_ID}
MANY_SCOPES = ("teams:run", "memories:write", "metrics:read", "traces:read")


def name(entry: Entry) -> str:
    return f"{entry.methods[0]} {entry.template}"


def rule_of(entry: Entry) -> Rule:
    assert entry.rule is not None
    return entry.rule


PUBLIC = [e for e in ENTRIES if rule_of(e).public]
GUARDED = [e for e in ENTRIES if not rule_of(e).public]


def permission_of(entry: Entry) -> Permission:
    (permission,) = rule_of(entry).permissions
    return permission


BY_ID = [e for e in GUARDED if permission_of(e).id_param is not None]
OWNED = [e for e in GUARDED if permission_of(e).resource not in ORGANISATIONS]
LISTING = [e for e in GUARDED if permission_of(e).listing]
WHOLE = [e for e in GUARDED if e not in BY_ID and e not in LISTING]
COUNTING = [e for e in LISTING if e.template.endswith("/count")]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with serve(AGENT_OS.get_app()) as live:
        yield live


@pytest.fixture(autouse=True)
def world() -> World:
    WORLD.seed()
    OBJECTS["schedule_id"] = WORLD.seed_schedule()
    OBJECTS["approval_id"] = WORLD.seed_approval()
    OBJECTS["service_account_id"], OBJECTS["revocation_id"] = WORLD.seed_trust()
    return WORLD


def call(server: LiveServer, entry: Entry, headers: dict[str, str]) -> httpx.Response:
    """The answer of a route, which is the one that the server's own explanation foretold."""
    recipe = RECIPES[name(entry)]
    path = entry.template.format(**OBJECTS)
    scheme, _, token = headers.get("Authorization", "Bearer ").partition(" ")
    # What is no bearer token cannot be asked about.
    foretold = explained(server, entry.methods[0], path, token) if scheme == "Bearer" else 401
    answer = httpx.request(
        entry.methods[0], server.url + path, headers=headers, timeout=20, **sent(recipe)
    )
    assert foretold in {None, answer.status_code}
    if not recipe.asks_for_more:
        assert (foretold is None) is (answer.status_code not in {401, 403, 405, 503})
    return answer


def explained(server: LiveServer, method: str, path: str, token: str) -> int | None:
    """The status of the refusal that the server foretells; None: it would let the request in."""
    asked = {"method": method, "path": path, **({"token": token} if token else {})}
    answer = httpx.post(server.url + "/authz/explain", json=asked, headers=WORLD.admin())
    assert answer.status_code == 200, answer.text
    explanation = answer.json()
    assert (explanation["decision"] == "allow") is (explanation["status"] is None)
    assert token not in answer.text or not token
    status: int | None = explanation["status"]
    return status


def sent(recipe: Recipe) -> dict[str, Any]:
    return recipe.send if isinstance(recipe.send, dict) else recipe.send()


def each(entries: list[Entry]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", entries, ids=name)


def test_the_table_is_complete_and_every_route_has_a_recipe() -> None:
    assert len(ENTRIES) == 57
    assert {name(entry) for entry in ENTRIES} == set(RECIPES)
    assert len(PUBLIC) == 10
    assert len(BY_ID) == 29
    assert len(LISTING) == 6
    assert len(WHOLE) == 12


@each(PUBLIC)
def test_public_routes_answer_without_any_token(server: LiveServer, entry: Entry) -> None:
    assert call(server, entry, {}).status_code == 200


@each(PUBLIC)
def test_public_routes_do_not_care_for_bad_tokens(server: LiveServer, entry: Entry) -> None:
    assert call(server, entry, {"Authorization": "Bearer junk"}).status_code == 200


@each(GUARDED)
def test_no_token_is_401_with_a_plain_challenge(server: LiveServer, entry: Entry) -> None:
    answer = call(server, entry, {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json() == {"detail": "Authorization header missing"}


@each(GUARDED)
@pytest.mark.parametrize(
    "kind", ["junk", "basic", "bare", "expired", "wrong key", "other audience"]
)
def test_bad_tokens_are_401_with_a_reason(server: LiveServer, entry: Entry, kind: str) -> None:
    scopes = (permission_of(entry).scope,)
    good = WORLD.tokens.token(OWNER, scopes=scopes)
    header = {
        "junk": "Bearer junk",
        "basic": f"Basic {good}",
        "bare": good,
        "expired": f"Bearer {WORLD.tokens.token(OWNER, scopes=scopes, expires_in_seconds=-60)}",
        "wrong key": f"Bearer {OTHER_KEY.token(OWNER, scopes=scopes)}",
        "other audience": f"Bearer {WORLD.tokens.token(OWNER, scopes=scopes, aud='elsewhere')}",
    }[kind]
    answer = call(server, entry, {"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    assert good.rpartition(".")[2] not in answer.text


@each(GUARDED)
def test_a_token_without_the_scope_is_403_and_the_scope_is_named(
    server: LiveServer, entry: Entry
) -> None:
    answer = call(server, entry, WORLD.bearer(OWNER, *MANY_SCOPES))
    scope = permission_of(entry).scope
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == (
        f'Bearer error="insufficient_scope", scope="{scope}"'
    )
    assert scope in answer.json()["detail"]


@each(GUARDED)
def test_a_token_without_any_scope_is_403(server: LiveServer, entry: Entry) -> None:
    assert call(server, entry, WORLD.bearer(OWNER)).status_code == 403


@each(BY_ID)
def test_a_scope_for_another_id_is_403(server: LiveServer, entry: Entry) -> None:
    permission = permission_of(entry)
    other = f"{permission.resource}:another:{permission.action}"
    assert call(server, entry, WORLD.bearer(OWNER, other)).status_code == 403


@each(BY_ID)
def test_a_scope_for_this_id_is_enough(server: LiveServer, entry: Entry) -> None:
    permission = permission_of(entry)
    assert permission.id_param is not None
    this = f"{permission.resource}:{OBJECTS[permission.id_param]}:{permission.action}"
    answer = call(server, entry, WORLD.bearer(OWNER, this))
    assert answer.status_code == RECIPES[name(entry)].success


@each(BY_ID + WHOLE + LISTING)
def test_a_wildcard_scope_is_the_whole_family(server: LiveServer, entry: Entry) -> None:
    permission = permission_of(entry)
    if permission.resource in {"config", "revocations", "audit", "authz", "telemetry"}:
        scope = permission.scope  # families without ids have no wildcard
    else:
        scope = f"{permission.resource}:*:{permission.action}"
    answer = call(server, entry, WORLD.bearer(OWNER, scope))
    assert answer.status_code == RECIPES[name(entry)].success


@each(WHOLE)
def test_a_scope_for_one_id_does_not_open_what_is_about_the_family(
    server: LiveServer, entry: Entry
) -> None:
    permission = permission_of(entry)
    one = f"{permission.resource}:{SESSION_ID}:{permission.action}"
    assert call(server, entry, WORLD.bearer(OWNER, one)).status_code == 403


@each([e for e in LISTING if e not in COUNTING])
def test_lists_show_what_the_grants_reach(server: LiveServer, entry: Entry) -> None:
    permission = permission_of(entry)
    this = {
        "agents": "beta",
        "approvals": OBJECTS["approval_id"],
        "sessions": SESSION_ID,
        "schedules": OBJECTS["schedule_id"],
        "service_accounts": OBJECTS["service_account_id"],
    }[permission.resource]
    found = {}
    for identifier in (this, "another"):
        scope = f"{permission.resource}:{identifier}:{permission.action}"
        answer = call(server, entry, WORLD.bearer(OWNER, scope))
        assert answer.status_code == 200
        body = answer.json()
        rows = body if isinstance(body, list) else body["data"]
        key = "session_id" if permission.resource == "sessions" else "id"
        found[identifier] = [row[key] for row in rows]
    assert found == {this: [this], "another": []}


@each(COUNTING)
def test_counts_are_of_what_the_grants_reach(server: LiveServer, entry: Entry) -> None:
    for identifier, count in ((OBJECTS["approval_id"], 1), ("another", 0)):
        headers = WORLD.bearer(OWNER, f"approvals:{identifier}:read")
        answer = call(server, entry, headers)
        assert (answer.status_code, answer.json()) == (200, {"count": count})


@each(GUARDED)
def test_the_right_scope_is_enough(server: LiveServer, entry: Entry) -> None:
    answer = call(server, entry, WORLD.bearer(OWNER, permission_of(entry).scope))
    assert answer.status_code == RECIPES[name(entry)].success


@each(OWNED)
def test_somebody_elses_things_are_as_if_they_did_not_exist(
    server: LiveServer, entry: Entry
) -> None:
    before = WORLD.olgas_session()
    headers = WORLD.bearer(STRANGER, permission_of(entry).scope)
    answer = call(server, entry, headers)
    assert answer.status_code == RECIPES[name(entry)].foreign
    assert "Olga" not in answer.text
    assert WORLD.olgas_session() == before
    unused = call_with_unused_ids(server, entry, headers)
    assert unused.status_code == answer.status_code


def call_with_unused_ids(
    server: LiveServer, entry: Entry, headers: dict[str, str]
) -> httpx.Response:
    """The same request about a session that nobody has."""
    recipe = RECIPES[name(entry)]
    path = entry.template.format(**{**OBJECTS, "session_id": "unused", "schedule_id": "unused"})
    send: dict[str, Any] = {
        kind: {k: ("unused" if v == SESSION_ID else v) for k, v in values.items()}
        for kind, values in sent(recipe).items()
    }
    if name(entry) == "DELETE /sessions":
        send = {"json": {"session_ids": ["unused"], "session_types": ["agent"]}}
    if name(entry) == "POST /sessions":
        send = {"json": {"session_id": "fresher"}}
    return httpx.request(entry.methods[0], server.url + path, headers=headers, timeout=20, **send)


@each(GUARDED)
def test_the_administrator_may_everything(server: LiveServer, entry: Entry) -> None:
    recipe = RECIPES[name(entry)]
    # They may run the agent, too; but here nothing outlives the process, as a schedule has to.
    expected = 503 if recipe.asks_for_more else recipe.success
    assert call(server, entry, WORLD.admin()).status_code == expected


@each([e for e in GUARDED if e.methods[0] == "GET"])
def test_head_is_decided_as_get(server: LiveServer, entry: Entry) -> None:
    path = server.url + entry.template.format(**OBJECTS)
    send = sent(RECIPES[name(entry)])
    scope = permission_of(entry).scope
    assert httpx.head(path, **send).status_code == 401
    assert httpx.head(path, headers=WORLD.bearer(OWNER), **send).status_code == 403
    answer = httpx.head(path, headers=WORLD.bearer(OWNER, scope), **send)
    assert (answer.status_code, answer.content) == (200, b"")


@each(GUARDED)
@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "TRACE"])
def test_other_methods_run_nothing(server: LiveServer, entry: Entry, method: str) -> None:
    path = server.url + entry.template.format(**OBJECTS)
    assert httpx.request(method, path).status_code == 401
    assert httpx.request(method, path, headers=WORLD.admin()).status_code == 405
