from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from licet.authz.authorizer import AccessRequest
from licet.authz.decision import Decision, deny, no_opinion
from licet.db.audit_records import AuditQuery
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS, TokenSource
from licet.os.explaining import Question, explanation_view
from tests.support.live import LiveServer, serve
from tests.support.world import ADMIN, OWNER, World


class NotBeta:
    """Denies one agent to everybody."""

    async def authorize(self, request: AccessRequest) -> Decision:
        if request.resource_id == "beta":
            return deny("beta is being mended", "maintenance")
        return no_opinion("not mine", "maintenance")


class Down:
    """Fails for whoever asks for sessions."""

    async def authorize(self, request: AccessRequest) -> Decision:
        if request.permission is not None and request.permission.resource == "sessions":
            raise ConnectionError("pdp.internal")
        return no_opinion("not mine", "down")


WORLD = World()


def agent_os() -> AgentOS:
    base = FastAPI()
    base.get("/forgotten")(lambda: "secret")
    base.get("/anybody")(lambda: "hello")
    return WORLD.agent_os(
        base_app=base,
        authorizers=[NotBeta(), Down()],
        config={"scope_mappings": {"GET /anybody": []}},
    )


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with serve(agent_os().get_app()) as live:
        yield live


def explained(server: LiveServer, **asked: Any) -> Any:
    answer = httpx.post(f"{server.url}/authz/explain", json=asked, headers=WORLD.admin())
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("method", "path", "scopes", "told"),
    [
        ("GET", "/agents", ["agents:read"], ("allow", None, "scope:agents:read")),
        ("GET", "/agents/alpha?x=1", ["agents:alpha:read"], ("allow", None, "scope:agents:read")),
        ("get", "/agents/alpha/", ["agents:read"], ("allow", None, "scope:agents:read")),
        ("GET", "/agents/%61lpha", ["agents:alpha:read"], ("allow", None, "scope:agents:read")),
        ("HEAD", "/agents/alpha", ["agents:read"], ("allow", None, "scope:agents:read")),
        ("GET", "/agents/beta", ["agents:read"], ("deny", 403, "maintenance")),
        ("GET", "/agents/alpha", [], ("deny", 403, "scope:agents:read")),
        ("GET", "/sessions", ["sessions:read"], ("deny", 503, "Down")),
        ("GET", "/forgotten", ["agents:read"], ("deny", 403, "undeclared")),
        ("GET", "/forgotten", ["agent_os:admin"], ("allow", None, "admin")),
        ("GET", "/anybody", [], ("allow", None, "verified")),
        ("GET", "/health", [], ("allow", None, "public")),
        ("GET", "/nowhere", [], ("deny", 404, "no_route")),
        ("DELETE", "/agents", ["agents:delete"], ("deny", 405, "method")),
        ("WEBSOCKET", "/agents", ["agents:read"], ("deny", 404, "no_route")),
    ],
)
def test_the_decision_its_rule_and_its_reason(
    server: LiveServer,
    method: str,
    path: str,
    scopes: list[str],
    told: tuple[str, int | None, str],
) -> None:
    explanation = explained(server, method=method, path=path, scopes=scopes)
    assert (explanation["decision"], explanation["status"], explanation["rule"]) == told
    assert explanation["reason"]
    if method in {"WEBSOCKET", "get"}:
        return
    headers = WORLD.bearer("somebody", *scopes)
    answer = httpx.request(method, server.url + path, headers=headers)
    assert answer.status_code == (told[1] or 200)


def test_each_authorizer_is_heard_on_each_demand(server: LiveServer) -> None:
    told = explained(server, method="GET", path="/agents/beta", scopes=["agents:read"])
    (looked_at,) = told["looked_at"]
    assert (looked_at["permission"], looked_at["resource_id"]) == ("agents:read", "beta")
    said = {o["authorizer"]: (o["verdict"], o["reason"]) for o in looked_at["opinions"]}
    assert said == {
        "ScopeAuthorizer": ("allow", "the caller holds agents:read"),
        "NotBeta": ("deny", "beta is being mended"),
        "Down": ("no_opinion", "not mine"),
    }


def test_the_principal_and_the_scopes_that_grant_nothing(server: LiveServer) -> None:
    token = WORLD.tokens.token(OWNER, scopes=("agents:read", "agents:fly", "nonsense"))
    told = explained(server, method="GET", path="/agents", token=token)
    who = told["principal"]
    assert (who["owner"], who["kind"], who["is_admin"]) == (f"default|{OWNER}", "user", False)
    assert [each["scope"] for each in who["granting_nothing"]] == ["agents:fly", "nonsense"]
    assert all(each["reason"] for each in who["granting_nothing"])
    assert told["route"] == {
        "template": "/agents",
        "declared": "route",
        "public": False,
        "needs": ["agents:read (lists what is reached)"],
    }
    assert token not in str(told)


@pytest.mark.parametrize(
    ("asked", "status", "rule"),
    [
        ({}, 401, "no_credentials"),
        ({"token": "junk"}, 401, "token_refused"),
        ({"token": "licet_sa_" + "x" * 43}, 401, "token_refused"),
        ({"token": WORLD.tokens.token(OWNER, exp=1)}, 401, "token_expired"),
    ],
)
def test_whoever_is_not_made_out(
    server: LiveServer, asked: dict[str, str], status: int, rule: str
) -> None:
    told = explained(server, method="GET", path="/agents", **asked)
    assert (told["status"], told["rule"], told["principal"]) == (status, rule, None)
    assert told["looked_at"] == []


def test_looking_is_no_failure_and_no_use(server: LiveServer) -> None:
    for _ in range(25):
        explained(server, method="GET", path="/agents", token="licet_sa_" + "y" * 43)
    guess = {"Authorization": "Bearer licet_sa_" + "z" * 43}
    assert httpx.get(f"{server.url}/agents", headers=guess).status_code == 401
    made = httpx.post(
        f"{server.url}/service-accounts",
        json={"name": "looked-at", "scopes": ["agents:read"]},
        headers=WORLD.admin(),
    ).json()
    told = explained(server, method="GET", path="/agents", token=made["token"])
    assert told["principal"]["kind"] == "service"
    listed = httpx.get(f"{server.url}/service-accounts", headers=WORLD.admin()).json()["data"]
    (account,) = [account for account in listed if account["name"] == "looked-at"]
    assert "last_used_at" not in account


def test_nothing_is_run_and_nothing_but_the_question_is_recorded() -> None:
    db = InMemoryDb()
    world = World(db=db)
    with serve(world.agent_os().get_app()) as live:
        asked = {"method": "POST", "path": "/agents/alpha/runs", "scopes": ["agents:run"]}
        headers = world.admin()
        answer = httpx.post(f"{live.url}/authz/explain", json=asked, headers=headers)
        assert answer.json()["decision"] == "allow"
    found = asyncio.run(db.audit().find(AuditQuery()))
    assert [(record.route, record.subject) for record in found] == [("/authz/explain", ADMIN)]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"path": "/agents"}, "method"),
        ({"method": "GET"}, "path"),
        ({"method": "G T", "path": "/agents"}, "method"),
        ({"method": "GET", "path": "agents"}, "path"),
        ({"method": "GET", "path": "/" + "a" * 3000}, "path"),
        ({"method": "GET", "path": "/a\u0000b"}, "path"),
        ({"method": "GET", "path": "/a", "token": "x", "scopes": []}, "token"),
        ({"method": "GET", "path": "/a", "token": "grün"}, "token"),
        ({"method": "GET", "path": "/a", "token": 7}, "token"),
        ({"method": "GET", "path": "/a", "scopes": "agents:read"}, "scopes"),
        ({"method": "GET", "path": "/a", "scopes": [7]}, "scopes"),
        ({"method": "GET", "path": "/a", "scopes": ["x" * 400]}, "scopes"),
        ({"method": "GET", "path": "/a", "scopes": ["x"] * 300}, "scopes"),
        ({"method": "GET", "path": "/a", "scopes": [], "subject": ""}, "subject"),
        ({"method": "GET", "path": "/a", "scopes": [], "issuer": 7}, "issuer"),
    ],
)
def test_what_is_no_question_is_422(server: LiveServer, asked: Any, field: str) -> None:
    answer = httpx.post(f"{server.url}/authz/explain", json=asked, headers=WORLD.admin())
    assert answer.status_code == 422
    assert field in answer.json()["detail"][0]["loc"]


def test_a_token_is_presented_where_it_is_taken() -> None:
    world = World()
    app = world.agent_os(config={"token_source": TokenSource.COOKIE}).get_app()
    with serve(app) as live:
        cookie = {"Cookie": f"access_token={world.tokens.token(ADMIN, scopes=('agent_os:admin',))}"}
        asked = {"method": "GET", "path": "/agents", "token": cookie["Cookie"].split("=", 1)[1]}
        same_origin = {**cookie, "Origin": live.url}
        answer = httpx.post(f"{live.url}/authz/explain", json=asked, headers=same_origin)
    assert answer.json()["decision"] == "allow", answer.text


def test_an_imagined_principal_has_a_name() -> None:
    explainer = agent_os().explainer
    assert explainer is not None
    question = Question(
        method="GET", path="/agents", scopes=("agents:read",), subject="uma", issuer_alias="b"
    )
    view = explanation_view(asyncio.run(explainer.explain(question)))
    assert view["principal"]["owner"] == "b|uma"
    assert view["principal"]["token_id"] is None


def test_where_authorization_is_off_there_is_nothing_to_explain() -> None:
    with serve(AgentOS(db=InMemoryDb()).get_app()) as live:
        answer = httpx.post(f"{live.url}/authz/explain", json={"method": "GET", "path": "/"})
    assert answer.status_code == 503
    assert "Authorization is off" in answer.json()["detail"]
