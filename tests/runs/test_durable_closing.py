from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from licet.agent import Agent
from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunStatus
from licet.errors import StorageUnavailableError
from licet.runs import durable, patience
from licet.testing import CallTools, Say, ScriptedModel
from tests.support.durable import Worker, eventually, moments, output, row, saying
from tests.support.engine import Stored


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(patience, "_TRY_AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(durable, "_CANCEL_SECONDS", 0.1)


async def test_a_process_that_closes_lets_a_step_end_and_begins_no_other() -> None:
    db, stored = InMemoryDb(), Stored()
    called: list[str] = []
    may_end = asyncio.Event()

    async def slow(word: str) -> str:
        called.append(word)
        await may_end.wait()
        return "slowly done"

    def worker(executor_id: str, *turns: Any) -> tuple[Worker, ScriptedModel]:
        model = ScriptedModel(list(turns))
        agent = Agent(id="a", model=model, tools=[slow])
        return Worker(agent, db=db, stored=stored, executor_id=executor_id), model

    first, model = worker("p1", CallTools(("slow", {"word": "one"})), "never asked for")
    task = await first.begin()
    await eventually(lambda: called == ["one"])
    closing = asyncio.ensure_future(first.runs.close(grace_seconds=20))
    asyncio.get_running_loop().call_later(0.05, may_end.set)
    await asyncio.wait_for(closing, 10)
    assert task.cancelled()
    assert len(model.requests) == 1
    assert (await row(db)).status is RunStatus.RUNNING
    second, model = worker("p2", "so it ends")
    await (await second.go_on())
    assert (called, (await output(db)).content) == (["one"], "so it ends")
    assert not first.runs.has_room


async def test_of_calls_beside_each_other_a_process_that_closes_lets_all_end() -> None:
    db, stored = InMemoryDb(), Stored()
    called: list[str] = []
    may_end = asyncio.Event()

    async def slow(word: str) -> str:
        called.append(word)
        if word == "two":
            await may_end.wait()
        return "done"

    calls = CallTools(("slow", {"word": "one"}), ("slow", {"word": "two"}))
    first = Worker(Agent(id="a", model=ScriptedModel([calls]), tools=[slow]), db=db, stored=stored)
    await first.begin()
    await eventually(lambda: len(called) == 2)
    closing = asyncio.ensure_future(first.runs.close(grace_seconds=20))
    asyncio.get_running_loop().call_later(0.05, may_end.set)
    await asyncio.wait_for(closing, 10)
    model = ScriptedModel(["so it ends"])
    second = Worker(
        Agent(id="a", model=model, tools=[slow]), db=db, stored=stored, executor_id="p2"
    )
    await (await second.go_on())
    assert sorted(called) == ["one", "two"]
    assert (await output(db)).status is RunStatus.COMPLETED


async def test_what_does_not_end_in_time_is_left_to_others() -> None:
    never = asyncio.Event()
    db, (agent, model) = InMemoryDb(), saying(Say("said", hold=never))
    worker = Worker(agent, db=db)
    task = await worker.begin()
    await model.wait_for_requests(1)
    await worker.runs.close(grace_seconds=0.01)
    assert task.cancelled()
    assert (await row(db)).status is RunStatus.RUNNING


async def test_what_waits_for_a_slot_does_not_begin_in_a_process_that_closes() -> None:
    never = asyncio.Event()
    db, stored = InMemoryDb(), Stored()
    model = ScriptedModel([Say("said", hold=never)], when_exhausted="repeat_last")
    agent = Agent(id="a", model=model)
    worker = Worker(agent, db=db, stored=stored, slots=1)
    await worker.begin("r1", session_id="s1")
    await model.wait_for_requests(1)
    leaving = Worker(agent, db=db, stored=stored, executor_id="p2")
    await leaving.begin("r2", session_id="s2")
    await model.wait_for_requests(2)
    await leaving.runs.leave()
    waiting = await worker.go_on("r2")
    await worker.runs.close(grace_seconds=0)
    assert waiting.cancelled()
    assert len(model.requests) == 2
    assert (await row(db, "r2")).executor_id == "p2"


async def test_a_run_that_waits_for_a_database_does_not_begin_when_all_is_closed() -> None:
    db, (agent, model) = InMemoryDb(), saying("never said")

    class Away:
        """A database that is away once a run is to be worked on."""

        away = False

        def __getattr__(self, name: str) -> Any:
            return getattr(db, name)

        def store(self, access: Any) -> Any:
            if self.away:
                raise StorageUnavailableError("away")
            return db.store(access)

    away = Away()
    worker = Worker(agent, db=cast("Db", away))
    await worker.enqueue()
    claimed = await worker.claim()
    away.away = True
    await worker.runs.start(claimed, "main")
    await moments()
    await asyncio.wait_for(worker.runs.close(grace_seconds=0), 5)
    away.away = False
    assert worker.engine.tasks["r"].cancelled()
    assert model.requests == []


async def test_a_tool_that_does_not_let_itself_be_cancelled_keeps_nobody_from_closing() -> None:
    over = asyncio.Event()

    class Stubborn:
        async def wait(self) -> None:
            while not over.is_set():
                try:
                    await over.wait()
                except asyncio.CancelledError:
                    continue

    db, (agent, model) = InMemoryDb(), saying(Say("said", hold=Stubborn()))
    worker = Worker(agent, db=db)
    await worker.begin()
    await model.wait_for_requests(1)
    await asyncio.wait_for(worker.runs.close(grace_seconds=0), 5)
    assert (await row(db)).status is RunStatus.RUNNING
    over.set()
    await eventually(worker.engine.tasks["r"].done, "its end")
