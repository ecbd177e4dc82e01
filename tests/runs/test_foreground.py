from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest

from licet.agent import Agent
from licet.agent.output import RunInput, RunOutput
from licet.agent.run import AgentRun
from licet.agent.run_request import RunRequest
from licet.authn.principal import Principal
from licet.context import RunContext
from licet.db.base import NOBODY, Access, Store
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunRecord, RunStatus, Saving, SessionKey
from licet.errors import StorageError
from licet.models.base import ModelRequest
from licet.runs.foreground import ForegroundRuns
from licet.testing import CallTools, Fail, Say, ScriptedModel
from licet.testing.scripted import Turn


async def begun(model: ScriptedModel, db: InMemoryDb, store: Store | None = None) -> AgentRun:
    asked = RunRequest(input=RunInput("hi"), run_id="r", session_id="s")
    store = store or db.store(Access(NOBODY))
    run = AgentRun(Agent(id="a", model=model), asked, store=store)
    await run.begin()
    return run


async def stored(db: InMemoryDb) -> RunOutput:
    run = await db.store(Access(NOBODY)).get_run(SessionKey(NOBODY, "s"), "r")
    assert run is not None
    return RunOutput.from_json(run.body)


async def test_a_run_goes_on_when_its_reader_leaves() -> None:
    gate, db, runs = asyncio.Event(), InMemoryDb(), ForegroundRuns()
    task = runs.start(await begun(ScriptedModel(["ok"], hold=gate), db))
    reader = asyncio.ensure_future(asyncio.shield(task))
    await asyncio.sleep(0)
    reader.cancel()
    gate.set()
    await task
    assert (await stored(db)).status is RunStatus.COMPLETED
    assert runs.count == 0


async def test_the_end_is_told_once() -> None:
    ended: list[str] = []
    runs = ForegroundRuns()
    task = runs.start(
        await begun(ScriptedModel(["ok"]), InMemoryDb()), ended=lambda: ended.append("x")
    )
    await task
    await asyncio.sleep(0)
    assert ended == ["x"]


async def test_shutting_down_waits_for_runs_that_end_in_time() -> None:
    gate, db, runs = asyncio.Event(), InMemoryDb(), ForegroundRuns()
    runs.start(await begun(ScriptedModel(["ok"], hold=gate), db))
    asyncio.get_running_loop().call_soon(gate.set)
    await runs.shut_down(grace_seconds=5)
    assert (await stored(db)).status is RunStatus.COMPLETED


async def test_shutting_down_cancels_the_rest_and_stores_that() -> None:
    never, db, runs = asyncio.Event(), InMemoryDb(), ForegroundRuns()
    model = ScriptedModel([Say("late", hold=never)])
    runs.start(await begun(model, db))
    await model.wait_for_requests(1)
    await runs.shut_down(grace_seconds=0)
    assert (await stored(db)).status is RunStatus.CANCELLED
    assert runs.count == 0


async def test_shutting_down_without_runs_is_nothing() -> None:
    await ForegroundRuns().shut_down(grace_seconds=0)


async def test_a_run_that_breaks_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = ForegroundRuns()
    run = await begun(ScriptedModel(["ok"]), InMemoryDb())

    async def broken() -> RunOutput:
        raise RuntimeError("broken")

    monkeypatch.setattr(run, "finish", broken)
    with pytest.raises(RuntimeError):
        await runs.start(run)
    await asyncio.sleep(0)
    assert "ended badly" in caplog.text


class Gone:
    """Whose authority is gone."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def lost(self, _principal: Principal | None) -> str | None:
        return self.reason


async def test_runs_whose_principal_is_revoked_are_stopped_and_say_why() -> None:
    never, db, gone = asyncio.Event(), InMemoryDb(), Gone()
    runs = ForegroundRuns(gone.lost)
    model = ScriptedModel([Say("late", hold=never)])
    task = runs.start(await begun(model, db))
    await model.wait_for_requests(1)
    assert runs.stop_revoked() == 0
    gone.reason = "the token was revoked"
    # Once: a second time would disturb the run while it is stored.
    assert [runs.stop_revoked() for _ in range(2)] == [1, 0]
    await asyncio.wait([task])
    ended = await stored(db)
    assert (ended.status, ended.error_type) == (RunStatus.CANCELLED, "revoked")
    assert ended.cancellation_reason == "the token was revoked"


async def test_a_run_that_begins_while_its_principal_is_revoked_asks_no_model() -> None:
    db, gone = InMemoryDb(), Gone()
    runs = ForegroundRuns(gone.lost)
    model = ScriptedModel(["never said"])
    run = await begun(model, db)
    gone.reason = "the token was revoked"
    task = runs.start(run)
    await asyncio.wait([task])
    assert model.requests == []
    ended = await stored(db)
    assert (ended.status, ended.content) == (RunStatus.CANCELLED, "")
    assert ended.cancellation_reason == "the token was revoked"


async def test_a_server_that_stops_says_so_on_the_run() -> None:
    never, db, runs = asyncio.Event(), InMemoryDb(), ForegroundRuns()
    model = ScriptedModel([Say("late", hold=never)])
    runs.start(await begun(model, db))
    await model.wait_for_requests(1)
    await runs.shut_down(grace_seconds=0)
    ended = await stored(db)
    assert (ended.error_type, ended.cancellation_reason) == ("cancelled", "the server was stopped")


async def test_a_run_that_somebody_cancels_is_stopped_and_says_why() -> None:
    never, db, runs = asyncio.Event(), InMemoryDb(), ForegroundRuns()
    model = ScriptedModel([Say("late", hold=never)])
    task = runs.start(await begun(model, db))
    await model.wait_for_requests(1)
    assert not runs.cancel("another", "cancelled by olga")
    # Again it does nothing more, and the first reason stays.
    assert runs.cancel("r", "cancelled by olga")
    assert runs.cancel("r", "cancelled by ada")
    await asyncio.wait([task])
    ended = await stored(db)
    assert (ended.status, ended.error_type) == (RunStatus.CANCELLED, "cancelled")
    assert ended.cancellation_reason == "cancelled by olga"
    assert not runs.cancel("r", "cancelled by olga")


async def test_tools_are_told_when_their_run_is_stopped() -> None:
    started, told = asyncio.Event(), list[str | None]()
    loop, in_thread = asyncio.get_running_loop(), threading.Event()

    def in_a_thread(context: RunContext) -> str:
        """Work until one is told to stop."""
        loop.call_soon_threadsafe(started.set)
        assert not context.cancelled
        if context.cancelled.wait_in_thread(20):
            told.append(context.cancelled.reason)
        in_thread.set()
        return "stopped"

    async def on_the_loop(context: RunContext) -> str:
        """Work until one is stopped."""
        try:
            return str(await asyncio.Event().wait())
        finally:
            told.append(context.cancelled.reason)

    tools = [in_a_thread, on_the_loop]
    model = ScriptedModel([CallTools(("in_a_thread", {}), ("on_the_loop", {}))])
    runs, asked = ForegroundRuns(), RunRequest(input=RunInput("hi"), run_id="r", session_id="s")
    task = await runs.begin(AgentRun(Agent(id="a", model=model, tools=tools), asked))
    await started.wait()
    assert runs.cancel("r", "cancelled by olga")
    await asyncio.wait([task])
    assert await asyncio.to_thread(in_thread.wait, 20)
    assert told == ["cancelled by olga"] * 2


async def test_tools_are_told_also_when_it_is_only_the_task_that_is_cancelled() -> None:
    contexts: asyncio.Queue[RunContext] = asyncio.Queue()

    async def works(context: RunContext) -> str:
        """Work for ever."""
        contexts.put_nowait(context)
        return str(await asyncio.Event().wait())

    agent = Agent(id="a", model=ScriptedModel([CallTools(("works", {}))]), tools=[works])
    task = asyncio.ensure_future(agent.arun("hi"))
    context = await contexts.get()
    assert not context.cancelled
    task.cancel("the reader left")
    await asyncio.wait([task])
    assert context.cancelled.reason == "the reader left"


async def test_tools_of_a_run_that_ends_well_are_told_nothing() -> None:
    contexts: list[RunContext] = []

    def works(context: RunContext) -> str:
        """Work."""
        contexts.append(context)
        return "done"

    model = ScriptedModel([CallTools(("works", {})), "ok"])
    await Agent(id="a", model=model, tools=[works]).arun("hi")
    assert not contexts[0].cancelled


async def test_the_end_is_told_also_of_a_run_that_could_not_begin() -> None:
    class Gone:
        async def begin_run(self, *_: Any, **__: Any) -> None:
            raise StorageError("gone")

    ended: list[str] = []
    asked = RunRequest(input=RunInput("hi"), run_id="r", session_id="s")
    run = AgentRun(Agent(id="a", model=ScriptedModel([])), asked, store=cast("Store", Gone()))
    with pytest.raises(StorageError):
        await ForegroundRuns().begin(run, ended=lambda: ended.append("x"))
    assert ended == ["x"]


class Slow:
    """A store whose database keeps whoever ends a run waiting until the gate opens."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.ending = asyncio.Event()
        self.gate = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def save_run(self, run: RunRecord, *, session_state: dict[str, Any] | None) -> Saving:
        self.ending.set()
        await self.gate.wait()
        return await self._inner.save_run(run, session_state=session_state)


@pytest.mark.parametrize("why", ["revoked", "cancelled", "the server stops"])
@pytest.mark.parametrize(
    ("turn", "status"),
    [(Say("ok"), RunStatus.COMPLETED), (Fail(ValueError()), RunStatus.ERROR)],
    ids=["answered", "failed"],
)
async def test_a_run_that_is_being_stored_is_not_stopped_any_more(
    why: str, turn: Turn, status: RunStatus
) -> None:
    db, gone = InMemoryDb(), Gone()
    slow = Slow(db.store(Access(NOBODY)))
    runs = ForegroundRuns(gone.lost)
    task = runs.start(await begun(ScriptedModel([turn]), db, cast("Store", slow)))
    await slow.ending.wait()
    if why == "revoked":
        gone.reason = "the token was revoked"
        assert runs.stop_revoked() == 0
        slow.gate.set()
    elif why == "cancelled":
        assert not runs.cancel("r", "cancelled by olga")
        slow.gate.set()
    else:
        asyncio.get_running_loop().call_later(0.01, slow.gate.set)
        await runs.shut_down(grace_seconds=0)
    assert (await task).status is status
    assert (await stored(db)).status is status


async def test_a_run_that_is_being_stored_as_stopped_is_stored() -> None:
    never, db, gone = asyncio.Event(), InMemoryDb(), Gone()
    slow = Slow(db.store(Access(NOBODY)))
    runs = ForegroundRuns(gone.lost)
    model = ScriptedModel([Say("late", hold=never)])
    task = runs.start(await begun(model, db, cast("Store", slow)))
    await model.wait_for_requests(1)
    gone.reason = "the token was revoked"
    assert runs.stop_revoked() == 1
    await slow.ending.wait()
    assert runs.stop_revoked() == 0
    slow.gate.set()
    await asyncio.wait([task])
    assert (await stored(db)).status is RunStatus.CANCELLED


async def test_a_run_whose_cancellation_is_swallowed_ends_as_stopped_all_the_same() -> None:
    db, gone = InMemoryDb(), Gone()
    runs = ForegroundRuns(gone.lost)

    class Greedy:
        """Takes a cancellation for its own, as ``asyncio.wait_for`` does in Python 3.11."""

        async def wait(self) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return

    def turn(_request: ModelRequest) -> Turn:
        return Say("said all the same", hold=Greedy())

    model = ScriptedModel(turn)
    task = runs.start(await begun(model, db))
    await model.wait_for_requests(1)
    gone.reason = "the token was revoked"
    assert runs.stop_revoked() == 1
    await asyncio.wait([task])
    ended = await stored(db)
    assert (ended.status, ended.error_type) == (RunStatus.CANCELLED, "revoked")
