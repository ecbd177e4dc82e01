"""The engine's clock, on SQLite files. Its entries have seconds here, which no route takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from licet.db.sqlite import SqliteDb
from licet.db.steps_database import Lasting
from licet.runs.cron import CronEntry, Due
from licet.runs.dbos_engine import DbosEngine
from licet.runs.engine import WorkflowState
from tests.support.dbos import db, ended, until

__all__ = ["db"]

EACH_SECOND = CronEntry(schedule_id="a", cron_expr="* * * * * *", timezone="UTC")
SOME_DAY = CronEntry(schedule_id="b", cron_expr="0 9 1 1 *", timezone="Europe/Berlin")
ASKED = Due(schedule_id="a", planned_us=1_700_000_000_000_000, asked_id="asked")


class Firing:
    """What is done when something is due; ``go_on`` lets it end."""

    def __init__(self) -> None:
        self.seen: list[Due] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, due: Due) -> None:
        self.seen.append(due)
        await self.go_on.wait()


@asynccontextmanager
async def attended(
    db: SqliteDb, fire: Firing | None, *, executor_id: str = "p1"
) -> AsyncIterator[DbosEngine]:
    """An engine at work, until the block ends."""
    engine = DbosEngine(cast("Lasting", db), executor_id=executor_id)
    if fire is not None:
        engine.cron.attend(fire)

    async def work(run_id: str, db_id: str) -> None:
        """Nothing."""

    await engine.launch(work)
    try:
        yield engine
    finally:
        await engine.close()


def in_order(entries: Sequence[CronEntry]) -> list[CronEntry]:
    return sorted(entries, key=lambda entry: entry.schedule_id)


async def test_entries_are_kept_as_they_were_put_and_outlive_the_process(db: SqliteDb) -> None:
    changed = CronEntry(schedule_id="a", cron_expr="5 5 * * *", timezone="America/New_York")
    async with attended(db, Firing()) as engine:
        await engine.cron.put(EACH_SECOND)
        await engine.cron.put(SOME_DAY)
        await engine.cron.put(changed)
        assert in_order(await engine.cron.entries()) == [changed, SOME_DAY]
    async with attended(db, Firing(), executor_id="p2") as engine:
        await engine.cron.remove("a")
        await engine.cron.remove("unknown")
        assert await engine.cron.entries() == [SOME_DAY]


async def test_what_is_due_is_done_once_for_each_time_and_no_more_when_it_is_removed(
    db: SqliteDb,
) -> None:
    fire, before_us = Firing(), time.time_ns() // 1000
    async with attended(db, fire) as engine:
        await engine.cron.put(EACH_SECOND)
        await until(lambda: len(fire.seen) >= 3)
        await engine.cron.remove("a")
        planned = [due.planned_us for due in fire.seen]
        assert len(set(planned)) == len(planned)
        assert all(each % 1_000_000 == 0 and each > before_us - 1_000_000 for each in planned)
        assert {due.entry for due in fire.seen} == {EACH_SECOND}
        assert {due.key for due in fire.seen} == {f"a@{each}" for each in planned}


async def test_a_changed_entry_is_due_by_its_new_times_alone(db: SqliteDb) -> None:
    fire = Firing()
    changed = CronEntry(schedule_id="a", cron_expr="*/2 * * * * *", timezone="UTC")
    async with attended(db, fire) as engine:
        await engine.cron.put(SOME_DAY)
        await engine.cron.put(CronEntry(schedule_id="a", cron_expr="0 9 1 1 *", timezone="UTC"))
        await engine.cron.put(changed)
        await until(lambda: fire.seen)
        assert {due.entry for due in fire.seen} == {changed}


async def test_what_is_asked_for_is_done_at_once(db: SqliteDb) -> None:
    fire = Firing()
    async with attended(db, fire) as engine:
        await engine.cron.fire_now(ASKED)
        await until(lambda: fire.seen)
        await ended(engine, "asked")
    assert fire.seen == [ASKED]


async def test_a_firing_that_a_process_left_is_done_again_by_another(db: SqliteDb) -> None:
    fire = Firing()
    fire.go_on.clear()
    async with attended(db, fire) as engine:
        await engine.cron.fire_now(ASKED)
        await until(lambda: fire.seen)
        assert await engine.abandoned(living={"p1"}) == []
    fire.go_on.set()
    async with attended(db, fire, executor_id="p2") as engine:
        assert await engine.abandoned(living={"p2"}) == ["asked"]
        assert await engine.recover("asked", living={"p2"}) is WorkflowState.ACTIVE
        await ended(engine, "asked")
    assert fire.seen == [ASKED, ASKED]


async def test_a_firing_that_has_ended_is_forgotten_like_a_run(db: SqliteDb) -> None:
    async with attended(db, Firing()) as engine:
        await engine.cron.fire_now(ASKED)
        await ended(engine, "asked")
        found = await engine.ended_before(time.time() + 60)
        assert found == ["asked"]
        await engine.forget(found)
        assert await engine.state("asked") is WorkflowState.UNKNOWN


async def test_a_process_that_serves_no_schedules_leaves_them_to_others(db: SqliteDb) -> None:
    async with attended(db, None) as engine:
        await engine.cron.fire_now(ASKED)
        assert await engine.state("asked") is WorkflowState.ACTIVE
    fire = Firing()
    async with attended(db, fire, executor_id="p2") as engine:
        await engine.recover("asked", living={"p2"})
        await until(lambda: fire.seen)


async def test_a_firing_that_fails_ends(db: SqliteDb, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Firing):
        async def __call__(self, due: Due) -> None:
            await super().__call__(due)
            raise ValueError

    fire = Failing()
    async with attended(db, fire) as engine:
        await engine.cron.fire_now(ASKED)
        await ended(engine, "asked")
    assert fire.seen == [ASKED]
