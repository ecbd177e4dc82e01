"""What a client says never passes for what the server or the token says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from licet.agent import Agent
from licet.context import RunContext
from licet.models.base import ModelRequest
from licet.testing import CallTools, Say, ScriptedModel
from tests.support.live import serve
from tests.support.world import ADMIN, OWNER, STRANGER, World


def who(context: RunContext) -> str:
    """Tell on whose behalf this is, and what the server says of the run."""
    return json.dumps([context.user_id, dict(context.metadata)])


def answer(request: ModelRequest) -> Say | CallTools:
    asked = request.messages[-1].role == "user"
    return CallTools(("who", {})) if asked else Say("done")


@pytest.fixture
def world() -> World:
    made = World(model=ScriptedModel(answer))
    made.agents = [
        Agent(id="alpha", model=made.model, db=made.db, tools=[who], metadata={"tenant": "acme"})
    ]
    made.seed()
    return made


@pytest.fixture
def url(world: World) -> Iterator[str]:
    with serve(world.agent_os().get_app()) as server:
        yield server.url


@pytest.fixture
def shared_url(world: World) -> Iterator[str]:
    """A server without isolation."""
    with serve(world.agent_os(user_isolation=False).get_app()) as server:
        yield server.url


def run(url: str, headers: dict[str, str], **fields: Any) -> httpx.Response:
    form = {"message": "hi", "stream": "false", **fields}
    return httpx.post(f"{url}/agents/alpha/runs", data=form, headers=headers)


def told(response: httpx.Response) -> Any:
    return json.loads(response.json()["tools"][0]["result"])


def test_metadata_of_the_server_cannot_be_given(world: World, url: str) -> None:
    headers = world.bearer(OWNER, "agents:run")
    refused = run(url, headers, metadata='{"tenant": "evil"}')
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "metadata"]
    assert "tenant" in refused.json()["detail"][0]["msg"]
    assert told(run(url, headers, metadata='{"mine": 1}'))[1] == {"tenant": "acme", "mine": 1}


def test_without_isolation_nobody_runs_under_anothers_name(world: World, shared_url: str) -> None:
    headers = world.bearer(STRANGER, "agents:run", "sessions:read")
    forged = run(shared_url, headers, user_id=OWNER, session_id="s1")
    assert forged.json()["user_id"] == STRANGER
    assert told(forged)[0] == STRANGER
    kept = httpx.get(f"{shared_url}/sessions/s1/runs", params={"user_id": OWNER}, headers=headers)
    assert [r["run_id"] for r in kept.json()] == ["r1"]


def test_without_isolation_nobody_makes_a_session_under_anothers_name(
    world: World, shared_url: str
) -> None:
    headers = world.bearer(STRANGER, "sessions:read", "sessions:write")
    body = {"session_id": "new", "user_id": OWNER}
    made = httpx.post(f"{shared_url}/sessions", json=body, headers=headers)
    assert made.json()["user_id"] == STRANGER
    ask = {"user_id": OWNER}
    of_olga = httpx.get(f"{shared_url}/sessions/new", params=ask, headers=headers)
    assert of_olga.status_code == 404


def test_the_administrator_still_may(world: World, shared_url: str) -> None:
    assert told(run(shared_url, world.admin(), user_id=OWNER))[0] == OWNER
    assert told(run(shared_url, world.admin()))[0] == ADMIN


@pytest.mark.parametrize("claim", ["sub", "session_id"])
def test_a_claim_that_no_database_holds_is_not_a_failure_of_the_database(
    world: World, url: str, claim: str
) -> None:
    claims = {"sub": OWNER, claim: "😀" * 250}
    refused = run(url, world.bearer(claims.pop("sub"), "agents:run", **claims))
    assert refused.status_code == 401
    assert f"the claim '{claim}'" in refused.json()["detail"]
