"""What a token says reaches the run, and nothing that a client says stands above it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from licet.agent import Agent
from licet.context import RunContext
from licet.testing import CallTools, Say, ScriptedModel
from tests.support.live import LiveServer, serve
from tests.support.world import OWNER, World

SEEN: list[dict[str, Any]] = []


def look(context: RunContext) -> str:
    """Look at what there is."""
    SEEN.append({"dependencies": dict(context.dependencies), "state": dict(context.session_state)})
    return "seen"


def world() -> World:
    model = ScriptedModel(
        lambda request: Say("done") if _called(request) else CallTools(("look", {}))
    )
    made = World(model=model)
    made.agents = [
        Agent(
            id="alpha",
            model=model,
            db=made.db,
            tools=[look],
            dependencies={"tenant": None, "color": None, "limit": 7},
            session_state={"plan": "free", "theme": "dark"},
        )
    ]
    return made


def _called(request: Any) -> bool:
    return any(message.role == "tool" for message in request.messages)


WORLD = world()
CONFIG = {
    "dependencies_claims": ["tenant", "limit", "org.units"],
    "session_state_claims": ["plan"],
}


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with serve(WORLD.agent_os(config=CONFIG).get_app()) as live:
        yield live


def run(server: LiveServer, claims: dict[str, Any], **form: str) -> httpx.Response:
    SEEN.clear()
    headers = WORLD.bearer(OWNER, "agents:run", **claims)
    data = {"message": "hi", "stream": "false", **form}
    return httpx.post(f"{server.url}/agents/alpha/runs", data=data, headers=headers)


def test_claims_reach_tools_as_dependencies(server: LiveServer) -> None:
    claims = {"tenant": "acme", "limit": 3, "org": {"units": ["a", {"b": [1]}]}}
    assert run(server, claims).status_code == 200
    (seen,) = SEEN
    assert seen["dependencies"] == {
        "tenant": "acme",
        "color": None,
        "limit": 3,
        "org.units": ["a", {"b": [1]}],
    }


def test_a_client_says_only_what_the_token_leaves_open(server: LiveServer) -> None:
    answer = run(server, {"tenant": "acme"}, dependencies='{"tenant": "evil", "color": "red"}')
    assert answer.status_code == 200
    assert SEEN[0]["dependencies"]["tenant"] == "acme"
    assert SEEN[0]["dependencies"]["color"] == "red"
    assert SEEN[0]["dependencies"]["limit"] == 7
    assert run(server, {"tenant": "acme"}, dependencies='{"limit": 99}').status_code == 422


def test_claims_stand_above_the_state_that_is_stored_and_sent(server: LiveServer) -> None:
    sent = '{"plan": "gold", "theme": "light"}'
    answer = run(server, {"plan": "paid"}, session_id="s", session_state=sent)
    assert SEEN[0]["state"] == {"plan": "paid", "theme": "light"}
    assert answer.json()["session_state"] == {"plan": "paid", "theme": "light"}
    run(server, {"plan": "free again"}, session_id="s")
    assert SEEN[0]["state"] == {"plan": "free again", "theme": "light"}
    run(server, {}, session_id="s")
    assert SEEN[0]["state"] == {"plan": "free again", "theme": "light"}


def test_what_a_tool_changes_of_it_stays_with_the_run(server: LiveServer) -> None:
    claims = {"org": {"units": ["a"]}}
    headers = WORLD.bearer(OWNER, "agents:run", **claims)
    for _ in range(2):
        SEEN.clear()
        data = {"message": "hi", "stream": "false"}
        httpx.post(f"{server.url}/agents/alpha/runs", data=data, headers=headers)
        assert SEEN[0]["dependencies"]["org.units"] == ["a"]
        SEEN[0]["dependencies"]["org.units"].append("b")
