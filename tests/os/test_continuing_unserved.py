"""Paused runs that a program began by itself, and that a server is asked to go on with."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from licet.agent import Agent
from licet.agent.output import RunOutput
from licet.db.base import NOBODY, Access
from licet.db.records import RunStatus, SessionKey
from licet.db.sqlite import SqliteDb
from licet.testing import CallTools, ScriptedModel
from licet.tools import tool
from tests.support.live import serve
from tests.support.world import World


@tool(requires_confirmation=True)
def pay(amount: int) -> str:
    """Pay."""
    raise AssertionError(amount)


@pytest.fixture
def world(tmp_path: Path) -> World:
    db = SqliteDb(tmp_path / "licet.db")
    model = ScriptedModel([CallTools(("pay", {"amount": 3}))])
    return World(db=db, agents=[Agent(id="a", model=model, db=db, tools=[pay])])


async def paused_by_itself(world: World) -> RunOutput:
    """A run without a server: whose authority it has is stored nowhere."""
    run = await world.agents[0].arun("pay")
    await world.db.close()
    assert run.status is RunStatus.PAUSED
    return run


@pytest.mark.parametrize("background", ["true", "false"])
def test_nobody_knows_under_which_authority_and_it_stays_as_it_is(
    world: World, background: str
) -> None:
    run = asyncio.run(paused_by_itself(world))
    decided = {"tool_call_id": run.tools[0].tool_call_id, "confirmed": True}
    form = {
        "session_id": run.session_id,
        "background": background,
        "tools": json.dumps([decided]),
        "stream": "false",
    }
    with serve(world.agent_os().get_app()) as server, httpx.Client(base_url=server.url) as client:
        url = f"/agents/a/runs/{run.run_id}/continue"
        answer = client.post(url, data=form, headers=world.admin())
    assert (answer.status_code, "not begun by a server" in answer.text) == (409, True)
    assert asyncio.run(status(world, run)) is RunStatus.PAUSED


async def status(world: World, run: RunOutput) -> RunStatus:
    """Where the run stands."""
    key = SessionKey(NOBODY, run.session_id)
    found = await world.db.store(Access(NOBODY)).get_run(key, run.run_id)
    await world.db.close()
    assert found is not None
    return found.status
