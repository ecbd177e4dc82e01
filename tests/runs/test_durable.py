from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, cast

import pytest

from licet.agent import Agent
from licet.agent.execution import Stop
from licet.authn.principal import Principal
from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunStatus, SessionKey
from licet.errors import StorageError, StorageUnavailableError
from licet.runs import patience
from licet.runs.engine import WorkflowState
from licet.testing import CallTools, Fail, Say, ScriptedModel
from tests.support.durable import (
    EVERYTHING,
    Worker,
    eventually,
    moments,
    names,
    output,
    row,
    saying,
)
from tests.support.engine import Died, Process, Stored

ALICE = Principal(issuer_alias="default", issuer=None, subject="alice", scopes=("agents:run",))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away is asked again soon."""
    monkeypatch.setattr(patience, "_TRY_AGAIN_SECONDS", 0.001)


class Held:
    """A database of which single calls wait, or fail."""

    def __init__(self, db: InMemoryDb) -> None:
        self._db = db
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self.held = ""
        self.failures: dict[str, list[Exception]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def store(self, access: Any) -> Any:
        return _HeldCalls(self, self._db.store(access))

    def work(self) -> Any:
        return _HeldCalls(self, self._db.work())


class _HeldCalls:
    def __init__(self, held: Held, inner: Any) -> None:
        self._held = held
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Coroutine[Any, Any, Any]] = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            if failures := self._held.failures.get(name):
                raise failures.pop(0)
            if self._held.held == name:
                self._held.reached.set()
                await self._held.go_on.wait()
            return await method(*args, **kwargs)

        return call


async def test_a_run_that_is_enqueued_waits_and_is_worked_on_to_its_end() -> None:
    db, (agent, model) = InMemoryDb(), saying("Hello")
    worker = Worker(agent, db=db)
    await worker.enqueue(principal=ALICE, owner=ALICE.owner)
    waiting = await row(db)
    assert (waiting.status, waiting.executor_id, model.requests) == (RunStatus.PENDING, None, [])
    await worker.runs.start(await worker.claim(), "main")
    await worker.engine.tasks["r"]
    ended = await output(db)
    assert (ended.status, ended.content) == (RunStatus.COMPLETED, "Hello")
    stored = worker.engine.stored["r"]
    assert names(stored.frames)[0] == "RunStarted"
    assert names(stored.frames)[-1] == "RunCompleted"
    assert stored.closed
    log = worker.logs.get("r")
    assert log is not None
    assert log.ended


async def test_a_run_that_is_cancelled_ends_as_such_and_tells_so() -> None:
    never = asyncio.Event()
    db, (agent, model) = InMemoryDb(), saying(Say("half a word", hold=never, hold_after=1))
    worker = Worker(agent, db=db)
    task = await worker.begin()
    await model.wait_for_requests(1)
    assert worker.runs.cancel("r", Stop("the client asked"))
    assert not worker.runs.cancel("r", Stop("once more"))
    await task
    ended = await output(db)
    assert (ended.status, ended.cancellation_reason) == (RunStatus.CANCELLED, "the client asked")
    assert names(worker.engine.stored["r"].frames)[-1] == "RunCancelled"
    assert worker.engine.stored["r"].state is WorkflowState.ENDED
    assert not worker.runs.cancel("r", Stop("too late"))


@pytest.mark.parametrize("call", ["work_on_run", "cancels_asked"])
async def test_a_run_that_is_cancelled_while_it_begins_ends_as_such(call: str) -> None:
    db, (agent, model) = InMemoryDb(), saying("never said")
    held = Held(db)
    held.held = call
    worker = Worker(agent, db=cast("Db", held))
    task = await worker.begin()
    await held.reached.wait()
    assert worker.runs.cancel("r", Stop("the client asked"))
    await moments()
    held.go_on.set()
    await asyncio.wait_for(task, 5)
    assert (await output(db)).status is RunStatus.CANCELLED
    assert worker.engine.stored["r"].state is WorkflowState.ENDED
    assert model.requests == []


async def test_a_run_that_was_asked_to_stop_before_it_began_asks_no_model() -> None:
    db, (agent, model) = InMemoryDb(), saying("never said")
    worker = Worker(agent, db=db)
    await worker.enqueue()
    claimed = await worker.claim()
    key = SessionKey("", "s")
    assert await db.store(EVERYTHING).ask_to_cancel(key, "r", now_us=1)
    await worker.runs.start(claimed, "main")
    await worker.engine.tasks["r"]
    assert (await output(db)).status is RunStatus.CANCELLED
    assert model.requests == []


async def test_a_run_that_is_left_goes_on_elsewhere_from_its_last_finished_step() -> None:
    db, stored, never = InMemoryDb(), Stored(), asyncio.Event()
    called: list[str] = []

    def note(word: str) -> str:
        called.append(word)
        return "noted"

    def agent(*turns: Any) -> tuple[Agent, ScriptedModel]:
        model = ScriptedModel(list(turns))
        return Agent(id="a", model=model, tools=[note]), model

    first, model = agent(CallTools(("note", {"word": "one"})), Say("never", hold=never))
    leaving = Worker(first, db=db, stored=stored)
    task = await leaving.begin()
    await model.wait_for_requests(2)
    await leaving.runs.leave()
    assert (await asyncio.wait([task]))[0] == {task}
    assert (await row(db)).status is RunStatus.RUNNING
    second, model = agent("and so it ends")
    going_on = Worker(second, db=db, stored=stored, executor_id="p2")
    await (await going_on.go_on())
    assert (await output(db)).content == "and so it ends"
    assert (await row(db)).executor_id == "p2"
    assert (called, len(model.requests)) == (["one"], 1)


async def test_only_the_runs_of_one_database_are_left() -> None:
    never = asyncio.Event()
    db, (agent, model) = InMemoryDb(), saying(Say("said", hold=never))
    worker = Worker(agent, db=db)
    task = await worker.begin()
    await model.wait_for_requests(1)
    await worker.runs.leave("another")
    assert task in asyncio.all_tasks()
    await worker.runs.leave("main")
    assert (await asyncio.wait([task], timeout=30))[0] == {task}


async def test_a_run_that_something_else_cancels_is_left_and_not_stored_as_cancelled() -> None:
    never = asyncio.Event()
    db, (agent, model) = InMemoryDb(), saying(Say("said", hold=never))
    worker = Worker(agent, db=db)
    task = await worker.begin()
    await model.wait_for_requests(1)
    # As a loop does that ends, or an engine.
    task.cancel()
    await asyncio.wait([task])
    assert (await row(db)).status is RunStatus.RUNNING
    assert worker.engine.stored["r"].state is WorkflowState.ACTIVE


async def test_a_database_that_is_away_is_waited_for_at_each_place() -> None:
    db, (agent, _) = InMemoryDb(), saying("said")
    held = Held(db)
    away = StorageUnavailableError("away")
    for call in ("find_run", "job", "work_on_run", "cancels_asked"):
        held.failures[call] = [away, away]
    worker = Worker(agent, db=cast("Db", held))
    await (await worker.begin())
    assert (await output(db)).status is RunStatus.COMPLETED


async def test_an_answer_is_kept_until_the_database_takes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from licet.agent import run_row

    monkeypatch.setattr(run_row, "_RETRY_AFTER_SECONDS", (0.001, 0.001))
    db, (agent, _) = InMemoryDb(), saying("said")
    held = Held(db)
    held.failures["save_run"] = [StorageUnavailableError("away") for _ in range(20)]
    worker = Worker(agent, db=cast("Db", held))
    await (await worker.begin())
    # A row that still said RUNNING would do so for ever: its work has ended.
    ended = await output(db)
    assert (ended.status, ended.content) == (RunStatus.COMPLETED, "said")


@pytest.mark.parametrize("call", ["find_run", "job", "work_on_run", "cancels_asked"])
async def test_a_run_that_cannot_be_worked_on_ends_and_says_so(call: str) -> None:
    db, (agent, model) = InMemoryDb(), saying("never said")
    held = Held(db)
    held.failures[call] = [StorageError("its row cannot be read")]
    worker = Worker(agent, db=cast("Db", held))
    task = await worker.begin()
    await asyncio.wait([task])
    ended = await output(db)
    assert (ended.status, ended.error_type) == (RunStatus.ERROR, "internal_error")
    assert worker.engine.stored["r"].state is WorkflowState.ENDED
    await eventually(lambda: len(asyncio.all_tasks()) == 1, "the end of all tasks")
    assert worker.runs.has_room
    assert model.requests == []


async def test_a_run_whose_agent_is_gone_ends_and_says_so() -> None:
    db, (agent, _) = InMemoryDb(), saying("never said")
    await Worker(agent, db=db).enqueue()
    other, _ = saying()
    worker = Worker(replace(other, id="b"), db=db)
    left = await worker.claim(unserved_before_us=time.time_ns())
    await worker.runs.start(left, "main")
    await worker.engine.tasks["r"]
    ended = await output(db)
    assert ended.status is RunStatus.ERROR
    assert "no agent 'a' any more" in str(ended.content)


@pytest.mark.parametrize("broken", [{"request": b"{"}, {"snapshot": b"{"}], ids=str)
async def test_a_run_whose_job_cannot_be_read_ends_and_says_so(broken: dict[str, Any]) -> None:
    db, (agent, _) = InMemoryDb(), saying("never said")
    worker = Worker(agent, db=db)
    await worker.enqueue(principal=ALICE)
    db._rows.jobs["r"] = replace(db._rows.jobs["r"], **broken)
    await worker.runs.start(await worker.claim(), "main")
    await worker.engine.tasks["r"]
    assert (await output(db)).status is RunStatus.ERROR


async def test_a_run_whose_session_is_deleted_while_it_works_ends_without_a_trace() -> None:
    gate = asyncio.Event()
    db, (agent, model) = InMemoryDb(), saying(Say("said", hold=gate))
    worker = Worker(agent, db=db)
    task = await worker.begin()
    await model.wait_for_requests(1)
    store = db.store(EVERYTHING)
    await store.delete_sessions([SessionKey("", "s")])
    gate.set()
    await task
    assert await store.find_run("r") is None
    assert worker.engine.stored["r"].state is WorkflowState.ENDED


async def test_a_run_whose_session_is_deleted_before_it_begins_ends_at_once() -> None:
    db, (agent, model) = InMemoryDb(), saying("never said")
    worker = Worker(agent, db=db)
    await worker.enqueue()
    claimed = await worker.claim()
    await db.store(EVERYTHING).delete_sessions([SessionKey("", "s")])
    await worker.runs.start(claimed, "main")
    await worker.engine.tasks["r"]
    assert worker.runs.has_room
    assert model.requests == []


async def test_a_failure_of_the_model_is_an_end_of_the_run() -> None:
    db, (agent, _) = InMemoryDb(), saying(Fail(ValueError("a secret")))
    worker = Worker(agent, db=db)
    await (await worker.begin())
    ended = await output(db)
    assert (ended.status, ended.error_type) == (RunStatus.ERROR, "internal_error")
    assert "a secret" not in str(ended.content)
    assert names(worker.engine.stored["r"].frames)[-1] == "RunError"


async def test_no_more_runs_work_at_once_than_there_are_slots() -> None:
    gate = asyncio.Event()
    db, model = InMemoryDb(), ScriptedModel(["said"], when_exhausted="repeat_last", hold=gate)
    worker = Worker(Agent(id="a", model=model), db=db, slots=2)
    tasks = [await worker.begin(f"r{n}", session_id=f"s{n}") for n in range(2)]
    assert worker.full
    # A run that another process has left comes in addition, and waits for its turn.
    leaving = Worker(worker.agent, db=db, stored=worker.engine.stored, executor_id="p2")
    await leaving.begin("r2", session_id="s2")
    await model.wait_for_requests(3)
    await leaving.runs.leave()
    tasks.append(await worker.go_on("r2"))
    await moments()
    assert len(model.requests) == 3
    gate.set()
    await asyncio.gather(*tasks)
    await eventually(lambda: worker.runs.has_room, "room")
    assert (await row(db, "r2")).executor_id == "p1"


async def test_a_slot_that_becomes_free_is_told() -> None:
    db, (agent, _) = InMemoryDb(), saying("said")
    worker = Worker(agent, db=db)
    free: list[bool] = []
    worker.runs.on_slot_free = lambda: free.append(worker.runs.has_room)
    await (await worker.begin())
    assert free == [True]


async def test_a_run_that_does_not_begin_keeps_no_slot() -> None:
    db, (agent, _) = InMemoryDb(), saying("never said")
    process = Process(dies_at=1)
    worker = Worker(agent, db=db, process=process, slots=1)
    await worker.enqueue()
    claimed = await worker.claim()
    with pytest.raises(Died):
        await worker.runs.start(claimed, "main")
    assert worker.runs.has_room
