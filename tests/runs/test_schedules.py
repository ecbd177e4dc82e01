from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunStatus
from licet.db.schedule_records import ScheduleRunStatus
from licet.runs.schedules import Schedules
from tests.contract.rows import ADMIN
from tests.contract.schedule_rows import made
from tests.support.durable import Worker, eventually, moments, saying
from tests.support.firings import Ledger, LedgerRuns

PLANNED_US = 60_000_000


class Place:
    """A process that fires the schedules of a database."""

    def __init__(self) -> None:
        self.db = InMemoryDb()
        agent: Agent = saying()[0]
        self.worker = Worker(agent, db=self.db)
        self.cron = self.worker.engine.cron
        self.ledger = Ledger(self.db)
        self.schedules = Schedules(self.db, runs=LedgerRuns(self.ledger), durable=self.worker.runs)
        self.cron.attend(self.schedules.fire)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place = Place()
    place.schedules.start()
    yield place
    await place.schedules.close()


async def test_what_is_due_by_the_clock_is_fired(place: Place) -> None:
    schedule = await made(place.db, snapshot=None)
    await eventually(lambda: schedule.id in place.cron.kept)
    place.cron.strike(PLANNED_US)
    await asyncio.gather(*place.cron.begun)
    (attempt,) = (await place.db.schedules(ADMIN).list_runs(schedule.id, page=1, limit=9)).runs
    assert (attempt.triggered_at_us, attempt.status) == (PLANNED_US, ScheduleRunStatus.SUCCESS)


async def test_whoever_triggers_waits_for_what_comes_of_it(place: Place) -> None:
    place.ledger.ends = [RunStatus.ERROR, RunStatus.COMPLETED]
    schedule = await made(
        place.db, snapshot=None, enabled=False, max_retries=1, retry_delay_seconds=0
    )
    last = await place.schedules.trigger(schedule)
    assert last is not None
    assert (last.attempt, last.status) == (2, ScheduleRunStatus.SUCCESS)


async def test_each_trigger_is_a_firing_of_its_own(place: Place) -> None:
    schedule = await made(place.db, snapshot=None, cron_expr="")
    both = await asyncio.gather(*(place.schedules.trigger(schedule) for _ in range(2)))
    assert len({each.id for each in both if each is not None}) == 2


async def test_a_firing_goes_on_when_whoever_asked_for_it_has_left(place: Place) -> None:
    schedule = await made(place.db, snapshot=None)
    asking = asyncio.create_task(place.schedules.trigger(schedule))
    await eventually(lambda: place.cron.begun)
    asking.cancel()
    await asyncio.gather(*place.cron.begun)
    assert len(place.ledger.stored) == 1


async def test_a_trigger_of_what_was_deleted_comes_to_nothing(place: Place) -> None:
    schedule = await made(place.db, snapshot=None)
    await place.db.schedules(ADMIN).delete(schedule.id)
    assert await place.schedules.trigger(schedule) is None


async def test_whoever_asked_hears_when_the_process_is_taken_away(place: Place) -> None:
    schedule = await made(place.db, snapshot=None)
    place.ledger.ends = [None]
    asking = asyncio.create_task(place.schedules.trigger(schedule))
    await eventually(lambda: place.ledger.stored)
    (firing,) = place.cron.begun
    firing.cancel()
    await moments()
    with pytest.raises(asyncio.CancelledError):
        await asking
