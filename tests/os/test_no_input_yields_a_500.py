"""Whatever a client sends to whatever route: an answer below 500, and errors are JSON."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from licet.agent import Agent
from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.sqlite import SqliteDb
from licet.os.table import Entry
from licet.testing import Say, ScriptedModel
from tests.support import wild
from tests.support.examples import examples
from tests.support.live import LiveServer, serve
from tests.support.world import OWNER, World

ENTRIES = list(World().agent_os().route_table().entries())
SCOPES = (
    "agents:read",
    "agents:run",
    "config:read",
    "sessions:read",
    "sessions:write",
    "sessions:delete",
    "approvals:read",
    "approvals:write",
    "approvals:delete",
)
KINDS = ("in_memory", "sqlite")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Target:
    """A served world whose agent answers with what it is asked, so that all of it is stored."""

    world: World
    server: LiveServer
    approval_id: str

    def send(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request, its target sent as it is."""
        link = http.client.HTTPConnection(self.server.host, self.server.port, timeout=20)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            link.request(method, target, body=body, headers=sent)
            answer = link.getresponse()
            return Answer(answer.status, answer.headers["content-type"] or "", answer.read())
        finally:
            link.close()


@pytest.fixture(scope="module", params=KINDS)
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    db: Db = InMemoryDb()
    if request.param == "sqlite":
        db = SqliteDb(tmp_path_factory.mktemp("wild") / "licet.db", id="in-memory")
    world = World(
        db=db, model=ScriptedModel(lambda request: Say(request.messages[-1].content or "nothing"))
    )
    world.agents = [
        Agent(
            id="alpha",
            model=world.model,
            add_history_to_context=True,
            session_state={"a": 1, "": 2},
            dependencies={"a": None},
        )
    ]
    with serve(world.agent_os().get_app()) as server:
        world.seed()
        made = Target(world, server, world.seed_approval())
        yield made
        everything_can_still_be_read(made)


def everything_can_still_be_read(target: Target) -> None:
    """Nothing that was stored on the way makes reading fail."""
    token = target.world.admin()["Authorization"]
    listed = target.send("GET", "/sessions?limit=1000", Authorization=token)
    assert listed.status == 200
    for row in json.loads(listed.body)["data"]:
        path = f"/sessions/{quote(row['session_id'], safe='')}"
        user = f"?user_id={quote(row['user_id'])}"
        for what in ("", "/runs", "/run-previews"):
            found = target.send("GET", path + what + user, Authorization=token)
            assert found.status == 200, (path, what, found)


def check(answer: Answer, method: str) -> None:
    assert answer.status < 500, answer
    if answer.status >= 400 and method != "HEAD":
        assert answer.content_type == "application/json"
        detail = json.loads(answer.body)["detail"]
        assert isinstance(detail, str) or all({"loc", "msg", "type"} <= set(p) for p in detail)


def authorization(world: World, who: str, junk: str) -> str:
    if who == "nobody":
        return junk
    bearer = world.admin() if who == "admin" else world.bearer(OWNER, *SCOPES)
    return bearer["Authorization"]


def targets(entry: Entry, approval_id: str) -> st.SearchStrategy[str]:
    """Paths of a route, with whatever in the place of its placeholders."""
    parts = entry.template.split("/")
    known = {
        "{agent_id}": "alpha",
        "{session_id}": "s1",
        "{run_id}": "r1",
        "{approval_id}": approval_id,
    }
    filled = [
        st.one_of(st.just(known[part]), wild.segments) if part in known else st.just(part)
        for part in parts
    ]
    path = st.tuples(*filled).map("/".join)
    return st.tuples(path, wild.queries).map(lambda pair: "?".join(part for part in pair if part))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.methods[0]} {e.template}")
@settings(
    max_examples=examples(0.3),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_input_yields_a_500(target: Target, entry: Entry, data: st.DataObject) -> None:
    own = entry.methods[0]
    method = data.draw(st.sampled_from([own] * 9 + ["HEAD", "PUT", "OPTIONS"]), "method")
    path = data.draw(targets(entry, target.approval_id), "target")
    headers = data.draw(wild.headers, "headers")
    who = data.draw(st.sampled_from(["owner", "owner", "admin", "nobody"]), "who")
    junk = data.draw(wild.header_values, "authorization")
    body = None
    if own not in {"GET", "HEAD"}:
        kind, body = data.draw(wild.bodies, "body")
        headers["Content-Type"] = kind
    headers["Authorization"] = authorization(target.world, who, junk)
    check(target.send(method, path, body, **headers), method)


@pytest.mark.parametrize("depth", [60, 100, 500, 900, 950, 960, 2000, 100_000])
def test_deep_json_is_refused_or_can_be_read_again(target: Target, depth: int) -> None:
    owner = authorization(target.world, "owner", "")
    deep = b'{"a": ' + b"[" * depth + b"]" * depth + b"}"
    for field, path in (
        ("metadata", "/agents/alpha/runs"),
        ("session_state", "/agents/alpha/runs"),
        ("session_state", "/sessions"),
        ("metadata", "/sessions"),
    ):
        body = b'{"message": "x", "stream": false, "%b": %b}' % (field.encode(), deep)
        answer = target.send(
            "POST", path, body, Authorization=owner, Content_Type="application/json"
        )
        check(answer, "POST")
        assert (answer.status == 422) is (depth > 64), answer
    everything_can_still_be_read(target)


@pytest.mark.parametrize("depth", [60, 100, 900, 950, 960, 970, 980, 2000])
def test_a_models_deep_answer_is_refused_or_can_be_read_again(target: Target, depth: int) -> None:
    deep = '{"a": ' + "[" * depth + "]" * depth + "}"
    body = {"message": deep, "stream": False, "output_schema": {"type": "object"}}
    answer = target.send(
        "POST",
        "/agents/alpha/runs",
        json.dumps(body).encode(),
        Authorization=authorization(target.world, "owner", ""),
        Content_Type="application/json",
    )
    assert answer.status == 200
    assert json.loads(answer.body)["status"] == ("COMPLETED" if depth < 64 else "ERROR")
    everything_can_still_be_read(target)
