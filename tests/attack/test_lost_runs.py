"""A run that was accepted ends in a row that says how, whatever happens to everybody around it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, ConfigDict, Field

from licet.agent import Agent
from licet.agent.output import RunInput, RunOutput
from licet.agent.run import AgentRun
from licet.agent.run_request import RunRequest
from licet.db.base import NOBODY, Access, Store
from licet.db.in_memory import InMemoryDb
from licet.db.records import BegunRun, RunStatus, Saving, SessionKey
from licet.errors import StorageError
from licet.runs import foreground
from licet.runs.foreground import ForegroundRuns
from licet.testing import CallTools, Say, ScriptedModel
from tests.support.live import serve
from tests.support.world import OWNER, World


class Committed:
    """A store that has committed the beginning, and has not answered yet."""

    def __init__(self, store: Store) -> None:
        self.stored = asyncio.Event()
        self.answer = asyncio.Event()
        self._store = store

    async def begin_run(self, *given: Any, **named: Any) -> BegunRun:
        begun = await self._store.begin_run(*given, **named)
        self.stored.set()
        await self.answer.wait()
        return begun

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def run_of(model: ScriptedModel, store: Any, **agent: Any) -> AgentRun:
    asked = RunRequest(input=RunInput("hi"), run_id="r", session_id="s")
    return AgentRun(Agent(id="a", model=model, **agent), asked, store=store)


async def stored(db: InMemoryDb) -> RunOutput:
    run = await db.store(Access(NOBODY)).get_run(SessionKey(NOBODY, "s"), "r")
    assert run is not None
    output = RunOutput.from_json(run.body)
    assert output.status is run.status
    return output


async def test_a_caller_that_is_cancelled_while_the_run_is_stored() -> None:
    db, runs = InMemoryDb(), ForegroundRuns()
    store = Committed(db.store(Access(NOBODY)))
    request = asyncio.ensure_future(runs.begin(run_of(ScriptedModel(["ok"]), store)))
    await store.stored.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    store.answer.set()
    await runs.shut_down(grace_seconds=5)
    assert (await stored(db)).status is RunStatus.COMPLETED


async def test_a_server_that_stops_while_the_run_is_stored() -> None:
    db, runs, never = InMemoryDb(), ForegroundRuns(), asyncio.Event()
    store = Committed(db.store(Access(NOBODY)))
    model = ScriptedModel([Say("late", hold=never)])
    request = asyncio.ensure_future(runs.begin(run_of(model, store)))
    await store.stored.wait()
    asyncio.get_running_loop().call_soon(store.answer.set)
    await runs.shut_down(grace_seconds=0)
    assert (await stored(db)).status is RunStatus.CANCELLED
    assert (await request).cancelled()


async def test_a_run_that_could_not_be_begun_leaves_nothing_behind() -> None:
    class Gone(Committed):
        async def begin_run(self, *_: Any, **__: Any) -> BegunRun:
            raise StorageError("gone")

    runs = ForegroundRuns()
    with pytest.raises(StorageError):
        await runs.begin(run_of(ScriptedModel(["ok"]), Gone(InMemoryDb().store(Access(NOBODY)))))
    await runs.shut_down(grace_seconds=0)
    assert runs.count == 0


async def test_a_tool_that_ignores_its_end_does_not_hold_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(foreground, "_CANCEL_SECONDS", 0.05)
    started, release = asyncio.Event(), asyncio.Event()

    async def stubborn() -> str:
        """Ignore whatever one is told."""
        started.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "done"

    db, runs = InMemoryDb(), ForegroundRuns()
    model = ScriptedModel([CallTools(("stubborn", {})), "ok"])
    task = await runs.begin(run_of(model, db.store(Access(NOBODY)), tools=[stubborn]))
    await started.wait()
    await asyncio.wait_for(runs.shut_down(grace_seconds=0), timeout=30)
    assert "1 runs do not end" in caplog.text
    release.set()
    await asyncio.wait([task], timeout=5)


class Opaque:
    """Nothing that JSON knows."""


class Answer(BaseModel):
    """An answer with something in it that cannot be written down."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    text: str
    hidden: Any = Field(default_factory=Opaque)


async def test_an_answer_that_cannot_be_written_is_a_failed_run() -> None:
    db = InMemoryDb()
    run = run_of(ScriptedModel(['{"text": "x"}']), db.store(Access(NOBODY)), output_schema=Answer)
    await run.begin()
    output = await run.finish()
    assert (output.status, output.error_type) == (RunStatus.ERROR, "not_storable")
    assert "could not be stored" in output.content
    assert await stored(db) == output


def test_the_client_hears_of_it_too() -> None:
    world = World(model=ScriptedModel(['{"text": "x"}'], when_exhausted="repeat_last"))
    world.agents = [Agent(id="alpha", model=world.model, db=world.db, output_schema=Answer)]
    headers = world.bearer(OWNER, "agents:run")
    with serve(world.agent_os().get_app()) as server:
        url = f"{server.url}/agents/alpha/runs"
        plain = httpx.post(url, data={"message": "hi", "stream": "0"}, headers=headers)
        assert (plain.status_code, plain.json()["status"]) == (200, "ERROR")
        streamed = httpx.post(url, data={"message": "hi"}, headers=headers).text
    assert "event: RunError" in streamed.split("\n\n")[-2]


@pytest.mark.parametrize("text", ["SQLite file '/srv/secret.db' cannot be used", "host db-7.corp"])
async def test_what_a_database_says_stays_in_the_log(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Gone(Committed):
        async def save_run(self, *_: Any, **__: Any) -> Saving:
            raise StorageError(text)

    store = Gone(InMemoryDb().store(Access(NOBODY)))
    store.answer.set()
    run = run_of(ScriptedModel(["ok"]), store)
    await run.begin()
    output = await run.finish()
    assert (output.status, output.error_type) == (RunStatus.ERROR, "storage")
    assert text not in output.content
    assert text in caplog.text
