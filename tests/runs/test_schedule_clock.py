from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.db.schedule_records import ScheduleRecord
from licet.errors import StorageUnavailableError
from licet.runs.cron import CronEntry
from licet.runs.schedule_clock import ScheduleClock
from tests.contract.rows import ADMIN
from tests.contract.schedule_rows import made
from tests.support.durable import Worker, eventually, saying


class Place:
    """A database, a process with an engine, and its clock."""

    def __init__(self) -> None:
        self.db = InMemoryDb()
        agent: Agent = saying()[0]
        self.worker = Worker(agent, db=self.db)
        self.cron = self.worker.engine.cron
        self.store = self.db.schedules(ADMIN)
        self.clock = ScheduleClock(self.db, self.store, runs=self.worker.runs, look_seconds=30)

    async def change(self, schedule: ScheduleRecord, **values: object) -> None:
        """Change a schedule."""
        read = await self.store.get(schedule.id)
        assert read is not None
        changed = replace(read, updated_at_us=read.updated_at_us + 1, **values)  # type: ignore[arg-type]  # of one of its fields each
        await self.store.save(changed, read_at_us=read.updated_at_us)


def entry(schedule: ScheduleRecord, cron_expr: str = "0 9 * * *") -> CronEntry:
    return CronEntry(schedule_id=schedule.id, cron_expr=cron_expr, timezone="UTC")


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place = Place()
    yield place
    await place.clock.close()


async def test_every_enabled_schedule_with_times_has_its_entry(place: Place) -> None:
    daily = await made(place.db, "daily")
    await made(place.db, "off", enabled=False)
    await made(place.db, "on demand", cron_expr="")
    await place.clock.set()
    assert place.cron.kept == {daily.id: entry(daily)}


async def test_the_engine_is_not_launched_for_schedules_that_there_are_not(place: Place) -> None:
    await made(place.db, "off", enabled=False)
    await place.clock.set()
    assert place.worker.engine.launches == 0
    await made(place.db, "daily")
    await place.clock.set()
    assert place.worker.engine.launches == 1


async def test_what_the_rows_do_not_know_is_removed_from_an_engine_at_work(place: Place) -> None:
    gone = await made(place.db, "gone")
    await place.cron.put(entry(gone))
    await place.store.delete(gone.id)
    await place.worker.runs.ready()
    await place.clock.set()
    assert place.cron.kept == {}


async def test_a_clock_that_is_right_is_left_as_it_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(place.db, "daily")
    await place.clock.set()

    async def put(_: CronEntry) -> None:
        raise AssertionError

    monkeypatch.setattr(place.cron, "put", put)
    await place.clock.set()


async def test_it_follows_what_becomes_of_schedules(place: Place) -> None:
    place.clock.start()
    schedule = await made(place.db, "daily")
    await eventually(lambda: place.cron.kept == {schedule.id: entry(schedule)})
    await place.change(schedule, cron_expr="5 5 * * *")
    await eventually(lambda: place.cron.kept == {schedule.id: entry(schedule, "5 5 * * *")})
    await place.change(schedule, enabled=False)
    await eventually(lambda: place.cron.kept == {})
    await place.change(schedule, enabled=True)
    await eventually(lambda: place.cron.kept != {})
    await place.store.delete(schedule.id)
    await eventually(lambda: place.cron.kept == {})


async def test_schedules_that_were_there_before_have_their_entries_from_the_start(
    place: Place,
) -> None:
    schedule = await made(place.db, "daily")
    place.clock.start()
    await eventually(lambda: schedule.id in place.cron.kept)


async def test_what_fails_is_tried_again_and_told_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("licet.runs.schedule_clock._RETRY_SECONDS", 0.001)
    schedule = await made(place.db, "daily")
    place.cron.failures = [StorageUnavailableError("away"), StorageUnavailableError("away")]
    place.clock.start()
    await eventually(lambda: schedule.id in place.cron.kept)
    await eventually(lambda: "can be followed again" in caplog.text)
    assert caplog.text.count("cannot be followed: away") == 1


async def test_closed_it_follows_no_more(place: Place) -> None:
    place.clock.start()
    await place.clock.close()
    await place.clock.close()
    await made(place.db, "daily")
    await asyncio.sleep(0)
    assert place.cron.kept == {}
