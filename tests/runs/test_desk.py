from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from licet.agent import Agent
from licet.db import in_memory_work
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunStatus
from licet.db.work_records import ExecutorEnd, ExecutorRecord, QueueLimits
from licet.errors import StorageError, StorageUnavailableError
from licet.runs import desk, dispatcher
from licet.runs.desk import Desk
from licet.runs.engine import WorkflowState
from licet.runs.executor import Heartbeat
from licet.testing import Say, ScriptedModel
from tests.contract.rows import run, stored
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
from tests.support.engine import Stored

QUICK = Heartbeat(beat_seconds=0.01, dead_seconds=600.0)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(desk, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(desk, "_TRY_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(dispatcher, "_TRY_AGAIN_SECONDS", 0.01)
    # A wake that is lost would be missed for good.
    monkeypatch.setattr(dispatcher, "_LOOK_SECONDS", 600.0)
    monkeypatch.setattr(desk, "_LISTEN_SECONDS", 600.0)


@asynccontextmanager
async def at_work(worker: Worker, limits: QueueLimits | None = None) -> AsyncIterator[Desk]:
    """A process that does all it does for the runs of a database."""
    made = Desk(
        worker.db,
        executor_id=worker.executor_id,
        heartbeat=QUICK,
        durable=worker.runs,
        limits=limits or QueueLimits(),
    )
    worker.runs.on_slot_free = made.wake
    await made.start()
    try:
        yield made
    finally:
        await made.stop_taking()
        await worker.runs.close(grace_seconds=0)
        await made.close()


async def status(db: InMemoryDb, run_id: str = "r") -> RunStatus:
    return (await row(db, run_id)).status


async def until_status(db: InMemoryDb, wanted: RunStatus, run_id: str = "r") -> None:
    async with asyncio.timeout(20):
        while await status(db, run_id) is not wanted:  # noqa: ASYNC110 - what the database says
            await asyncio.sleep(0.005)


async def dead(db: InMemoryDb, *names: str) -> None:
    """Processes that were, and of which another one has said that they died."""
    for name in names:
        await db.work().register_executor(ExecutorRecord(id=name, started_at_us=1))
        await db.work().end_executor(name, end=ExecutorEnd.DIED, beats=None)


async def unsettled(db: InMemoryDb) -> set[str]:
    return {each.id for each in await db.work().executors() if each.ended is not None}


async def until_settled(db: InMemoryDb) -> None:
    async with asyncio.timeout(20):
        while await unsettled(db):  # noqa: ASYNC110 - what the database says
            await asyncio.sleep(0.005)


async def test_what_is_enqueued_is_worked_on_at_once_and_the_process_says_that_it_left() -> None:
    db, (agent, _) = InMemoryDb(), saying("Hello")
    worker = Worker(agent, db=db)
    async with at_work(worker) as at:
        await worker.enqueue()
        at.wake()
        await until_status(db, RunStatus.COMPLETED)
        assert (await row(db)).executor_id == "p1"
    assert await unsettled(db) == {"p1"}


async def test_what_another_process_enqueues_is_heard_of_without_a_poll() -> None:
    db, (agent, _) = InMemoryDb(), saying("Hello")
    async with at_work(Worker(agent, db=db)):
        await Worker(agent, db=db, executor_id="p2").enqueue()
        await db.work().raise_work()
        await until_status(db, RunStatus.COMPLETED)


async def test_the_engine_is_launched_when_there_is_something_for_it() -> None:
    db, (agent, _) = InMemoryDb(), saying("Hello")
    worker = Worker(agent, db=db)
    async with at_work(worker) as at:
        at.wake()
        await moments()
        assert worker.engine.launches == 0
        worker.engine.launch_failures = [StorageError("away")]
        await worker.enqueue()
        at.wake()
        await until_status(db, RunStatus.COMPLETED)
        assert worker.engine.launches == 2


async def test_foreground_runs_of_a_dead_process_end_and_say_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # More than are read at once.
    monkeypatch.setattr(in_memory_work, "_MAX_RUNS", 2)
    db, (agent, _) = InMemoryDb(), saying()
    await dead(db, "p0")
    for number in range(5):
        record = run(f"s{number}", owner="", run_id=f"r{number}", executor_id="p0")
        await stored(db.store(EVERYTHING), record)
    async with at_work(Worker(agent, db=db)):
        for number in range(5):
            await until_status(db, RunStatus.ERROR, f"r{number}")
        await until_settled(db)
    assert (await output(db, "r4")).error_type == "process_died"


async def test_the_end_is_told_of_a_run_whose_process_died_when_it_had_stored_it() -> None:
    db, (agent, _), kept = InMemoryDb(), saying("Hello"), Stored()
    first = Worker(agent, db=db, stored=kept, executor_id="p0")
    await first.enqueue()
    await first.runs.start(await first.claim(), "main")
    await first.engine.tasks["r"]
    # As if it had died before it told the end: only the engine knows that something is left.
    told = kept["r"]
    last = told.batches.pop()
    told.closed, told.state = False, WorkflowState.ACTIVE
    told.steps.popitem()
    await dead(db, "p0")
    worker = Worker(agent, db=db, stored=kept)
    await worker.runs.ready()
    async with at_work(worker):
        await until_settled(db)
        await eventually(lambda: told.closed)
    assert names(told.frames)[-1] == names(list(last.frames))[-1] == "RunCompleted"


async def test_durable_runs_of_a_dead_process_are_gone_on_with() -> None:
    never, kept = asyncio.Event(), Stored()
    db, (agent, model) = InMemoryDb(), saying(Say("never", hold=never), "it goes on")
    dying = Worker(agent, db=db, stored=kept, executor_id="p0")
    await dying.begin()
    await model.wait_for_requests(1)
    dying.process.died.set()
    await dead(db, "p0")
    async with at_work(Worker(agent, db=db, stored=kept)):
        await until_status(db, RunStatus.COMPLETED)
        await until_settled(db)
    assert (await output(db)).content == "it goes on"


async def test_what_a_dead_process_had_claimed_and_not_begun_waits_again() -> None:
    db, (agent, _) = InMemoryDb(), saying("Hello")
    dying = Worker(agent, db=db, executor_id="p0")
    await dying.enqueue()
    await dying.claim()
    await dead(db, "p0")
    async with at_work(Worker(agent, db=db)):
        await until_status(db, RunStatus.COMPLETED)
        await until_settled(db)


async def test_what_one_dead_process_had_taken_from_another_and_not_adopted_is_found() -> None:
    kept = Stored()
    db, (agent, _) = InMemoryDb(), saying("Hello")
    first = Worker(agent, db=db, stored=kept, executor_id="p0")
    await first.begin()
    first.process.died.set()
    # The engine gave it to p00, whose name no row knows.
    kept["r"].executor_id = "p00"
    await dead(db, "p0", "p00")
    await db.work().settle_executor("p00")
    async with at_work(Worker(agent, db=db, stored=kept)):
        await until_status(db, RunStatus.COMPLETED)
        await until_settled(db)


async def test_what_a_living_process_has_taken_on_is_left_to_it() -> None:
    kept = Stored()
    db, (agent, model) = InMemoryDb(), saying()
    first = Worker(agent, db=db, stored=kept, executor_id="p0")
    await first.begin()
    first.process.died.set()
    kept["r"].executor_id = "p2"
    await db.work().register_executor(ExecutorRecord(id="p2", started_at_us=1))
    await dead(db, "p0")
    worker = Worker(agent, db=db, stored=kept)
    async with at_work(worker) as at:
        assert not await at.settle("p0")
        assert worker.engine.begun == []
        # Until it has adopted it, there is something to see to.
        assert "p0" in await unsettled(db)
    assert model.requests == []


async def test_a_run_that_took_every_process_down_is_given_up_and_says_so() -> None:
    kept = Stored()
    db, (agent, _) = InMemoryDb(), saying()
    first = Worker(agent, db=db, stored=kept, executor_id="p0")
    await first.begin()
    first.process.died.set()
    kept["r"].state = WorkflowState.ENDED
    await dead(db, "p0")
    async with at_work(Worker(agent, db=db, stored=kept)):
        await until_status(db, RunStatus.ERROR)
        await until_settled(db)
    assert (await output(db)).error_type == "given_up"


async def test_nothing_of_a_process_that_has_come_back_meanwhile_is_ended() -> None:
    db, (agent, _) = InMemoryDb(), saying("Hello")
    worker = Worker(agent, db=db)
    async with at_work(worker) as at:
        await db.work().register_executor(ExecutorRecord(id="p0", started_at_us=1))
        await stored(db.store(EVERYTHING), run("f", owner="", run_id="f", executor_id="p0"))
        other = Worker(agent, db=db, executor_id="p0", stored=worker.engine.stored)
        await other.enqueue("d")
        await at.stop_taking()
        await other.claim()
        # Somebody looked when it was dead still.
        assert not await at.settle("p0")
        assert await status(db, "f") is RunStatus.RUNNING
        assert await status(db, "d") is RunStatus.RUNNING
        assert worker.engine.begun == []


@pytest.mark.parametrize("begun", [False, True], ids=["claimed", "begun"])
async def test_what_a_living_process_has_and_is_not_at_work_on_is_found_by_itself(
    monkeypatch: pytest.MonkeyPatch, begun: Any
) -> None:
    monkeypatch.setattr(desk, "_SETTLE_OWN_EVERY_SECONDS", 0.05)
    kept = Stored()
    db, (agent, _) = InMemoryDb(), saying("Hello", "Hello")
    # As where the answer to a claim is lost, or a run was left and could not be seen to.
    before = Worker(agent, db=db, stored=kept)
    if begun:
        await before.begin()
        await before.runs.leave()
    else:
        await before.enqueue()
        await before.claim()
    async with at_work(Worker(agent, db=db, stored=kept)):
        await until_status(db, RunStatus.COMPLETED)


async def test_what_a_process_is_at_work_on_is_not_begun_twice_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "_SETTLE_OWN_EVERY_SECONDS", 0.0)
    gate = asyncio.Event()
    db, (agent, model) = InMemoryDb(), saying(Say("Hello", hold=gate))
    worker = Worker(agent, db=db)
    async with at_work(worker) as at:
        await worker.enqueue()
        at.wake()
        await model.wait_for_requests(1)
        for _ in range(3):
            await at._settle_own()
        gate.set()
        await until_status(db, RunStatus.COMPLETED)
    assert worker.engine.begun == ["r"]


async def test_a_process_that_was_taken_for_dead_goes_on_with_its_own_runs() -> None:
    never = asyncio.Event()
    db, (agent, model) = InMemoryDb(), saying(Say("never", hold=never), "it goes on")
    worker = Worker(agent, db=db)
    async with at_work(worker) as at:
        await worker.enqueue()
        at.wake()
        await model.wait_for_requests(1)
        await db.work().end_executor("p1", end=ExecutorEnd.DIED, beats=None)
        await until_status(db, RunStatus.COMPLETED)
    assert worker.engine.begun == ["r", "r"]


async def test_a_run_that_cannot_be_begun_waits_again() -> None:
    db, (agent, _) = InMemoryDb(), saying("Hello")
    worker = Worker(agent, db=db)
    worker.engine.start_failures = [StorageUnavailableError("away"), RuntimeError("unforeseen")]
    async with at_work(worker) as at:
        await worker.enqueue()
        at.wake()
        await until_status(db, RunStatus.COMPLETED)


async def test_a_run_that_can_neither_be_begun_nor_put_back_is_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "_SETTLE_OWN_EVERY_SECONDS", 0.05)
    db, (agent, _) = InMemoryDb(), saying("Hello")
    worker = Worker(agent, db=db)
    failures = [StorageUnavailableError("away")]
    inner = db.work()

    class Work:
        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        async def put_back(self, run_id: str, *, executor_id: str) -> bool:
            if failures:
                raise failures.pop()
            return await inner.put_back(run_id, executor_id=executor_id)

    monkeypatch.setattr(db, "work", Work)
    worker.engine.start_failures = [StorageUnavailableError("away")]
    async with at_work(worker) as at:
        await worker.enqueue()
        at.wake()
        await until_status(db, RunStatus.COMPLETED)
    assert failures == []


async def test_no_more_is_taken_on_than_there_is_room_for_and_the_next_one_at_once() -> None:
    gate = asyncio.Event()
    db = InMemoryDb()
    model = ScriptedModel(["Hello"], when_exhausted="repeat_last", hold=gate)
    worker = Worker(Agent(id="a", model=model), db=db, slots=2)
    async with at_work(worker) as at:
        for number in range(5):
            await worker.enqueue(f"r{number}", session_id=f"s{number}")
        at.wake()
        await model.wait_for_requests(2)
        assert await db.work().waiting() == 3
        gate.set()
        for number in range(5):
            await until_status(db, RunStatus.COMPLETED, f"r{number}")


async def test_the_limits_of_all_processes_hold_and_the_next_one_follows() -> None:
    gate = asyncio.Event()
    db = InMemoryDb()
    model = ScriptedModel(["Hello"], when_exhausted="repeat_last", hold=gate)
    worker = Worker(Agent(id="a", model=model), db=db)
    async with at_work(worker, QueueLimits(overall=1)) as at:
        for number in range(3):
            await worker.enqueue(f"r{number}", session_id=f"s{number}")
        at.wake()
        await model.wait_for_requests(1)
        assert await db.work().waiting() == 2
        gate.set()
        for number in range(3):
            await until_status(db, RunStatus.COMPLETED, f"r{number}")


async def test_a_process_without_an_engine_leaves_durable_runs_to_others() -> None:
    db, (agent, _) = InMemoryDb(), saying()
    other = Worker(agent, db=db, executor_id="p0")
    await other.enqueue()
    made = Desk(
        Worker(agent, db=db).db,
        executor_id="p1",
        heartbeat=QUICK,
        durable=None,
        limits=QueueLimits(),
    )
    await other.claim()
    await dead(db, "p0")
    await made.start()
    made.wake()
    assert not await made.settle("p0")
    assert await status(db) is RunStatus.RUNNING
    await made.close()


async def test_steps_of_runs_that_ended_long_ago_are_forgotten() -> None:
    kept = Stored()
    db, (agent, _) = InMemoryDb(), saying("Hello")
    worker = Worker(agent, db=db, stored=kept)
    await (await worker.begin())
    await eventually(lambda: kept["r"].state is WorkflowState.ENDED, "its end")
    async with at_work(worker):
        await eventually(lambda: kept == {}, "forgetting")
    assert replace(await row(db)).status is RunStatus.COMPLETED


async def test_nothing_is_taken_on_while_the_process_is_not_heard_of() -> None:
    db, (agent, _) = InMemoryDb(), saying("Hello")
    worker = Worker(agent, db=db)
    async with at_work(worker) as at:
        at.executor._heard_at = -float("inf")
        at.executor._stop.set()
        await worker.enqueue()
        at.wake()
        await moments()
        assert await status(db) is RunStatus.PENDING
        at.executor._heard_at = float("inf")
        at.executor._renewed.set()
        await until_status(db, RunStatus.COMPLETED)
