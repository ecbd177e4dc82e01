from __future__ import annotations

import asyncio
import time
from typing import cast

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunStatus
from licet.db.work_records import ClaimedRun, QueueLimits
from licet.errors import ConfigurationError
from licet.runs.dispatcher import Dispatcher
from licet.runs.durable import DurableRuns
from licet.runs.executor import Executor
from licet.testing import ScriptedModel
from tests.contract import work_rows
from tests.support.durable import Worker, eventually, moments, row


class Heard:
    """A process that is heard of."""

    id = "p1"

    async def heard(self) -> None:
        """At once."""


class Taking:
    """What is taken on; beginning with it waits, where it is told to."""

    agent_ids = ("a",)

    def __init__(self, room: int = 1) -> None:
        self.room = room
        self.taken: list[str] = []
        self.begins = asyncio.Event()
        self.begins.set()
        self.reached = asyncio.Event()
        self.failures: list[Exception] = []

    @property
    def has_room(self) -> bool:
        return len(self.taken) < self.room

    async def ready(self) -> None:
        if self.failures:
            raise self.failures[0]

    async def start(self, claimed: ClaimedRun, _db_id: str) -> None:
        self.reached.set()
        await self.begins.wait()
        self.taken.append(claimed.run.run_id)


def made(db: InMemoryDb, taking: Taking) -> Dispatcher:
    return Dispatcher(
        db,
        executor=cast("Executor", Heard()),
        runs=cast("DurableRuns", taking),
        limits=QueueLimits(),
    )


async def enqueued(db: InMemoryDb, *run_ids: str, agent_id: str = "a") -> None:
    agent = Agent(id=agent_id, model=ScriptedModel([]), durable=True)
    for run_id in run_ids:
        await Worker(agent, db=db).enqueue(run_id, session_id=run_id)


async def test_what_waits_longest_is_taken_on_first_as_far_as_there_is_room() -> None:
    db, taking = InMemoryDb(), Taking(room=2)
    await enqueued(db, "a", "b", "c")
    dispatcher = made(db, taking)
    at_work = asyncio.ensure_future(dispatcher.run())
    await eventually(lambda: len(taking.taken) == 2)
    await moments()
    assert taking.taken == ["a", "b"]
    taking.room = 3
    dispatcher.wake()
    await eventually(lambda: taking.taken == ["a", "b", "c"])
    at_work.cancel()


async def test_a_run_of_an_agent_that_is_not_served_here_is_left_to_others() -> None:
    db, taking = InMemoryDb(), Taking(room=2)
    await enqueued(db, "theirs", agent_id="new")
    await enqueued(db, "ours")
    at_work = asyncio.ensure_future(made(db, taking).run())
    await eventually(lambda: taking.taken == ["ours"])
    await moments()
    assert taking.taken == ["ours"]
    assert (await row(db, "theirs")).status is RunStatus.PENDING
    at_work.cancel()


async def test_a_run_that_nobody_served_for_an_hour_is_taken_on_to_be_ended() -> None:
    db, taking = InMemoryDb(), Taking()
    hour_ago_us = time.time_ns() // 1000 - 3601 * 1_000_000
    await work_rows.enqueued(db, run_id="left", component_id="gone", at=hour_ago_us)
    at_work = asyncio.ensure_future(made(db, taking).run())
    await eventually(lambda: taking.taken == ["left"])
    at_work.cancel()


async def test_a_wake_that_comes_while_one_is_being_taken_on_is_not_lost() -> None:
    db, taking = InMemoryDb(), Taking(room=1)
    await enqueued(db, "a", "b")
    taking.begins.clear()
    dispatcher = made(db, taking)
    at_work = asyncio.ensure_future(dispatcher.run())
    await taking.reached.wait()
    taking.room = 2
    dispatcher.wake()
    taking.room = 1
    taking.begins.set()
    await eventually(lambda: taking.taken == ["a"])
    # It looked when it was told, and there was no room; the next wake is one more.
    taking.room = 2
    dispatcher.wake()
    await eventually(lambda: taking.taken == ["a", "b"])
    at_work.cancel()


async def test_a_run_whose_beginning_is_cancelled_waits_again() -> None:
    db, taking = InMemoryDb(), Taking()
    await enqueued(db, "a")
    taking.begins.clear()
    at_work = asyncio.ensure_future(made(db, taking).run())
    await taking.reached.wait()
    assert (await row(db, "a")).status is RunStatus.RUNNING
    at_work.cancel()
    await asyncio.wait([at_work])
    waiting = await row(db, "a")
    assert (waiting.status, waiting.executor_id) == (RunStatus.PENDING, None)


async def test_a_process_whose_engine_does_not_start_takes_nothing_on() -> None:
    db, taking = InMemoryDb(), Taking()
    await enqueued(db, "a")
    taking.failures = [ConfigurationError("another one has it")]
    at_work = asyncio.ensure_future(made(db, taking).run())
    await moments()
    assert (await row(db, "a")).status is RunStatus.PENDING
    assert not at_work.done()
    at_work.cancel()
