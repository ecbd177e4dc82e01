from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from licet.db.base import Db
from licet.db.schedule_records import ScheduleRunStatus
from licet.errors import StorageError
from tests.contract.conftest import MakeDb
from tests.contract.rows import ALICE, run, stored, tick
from tests.contract.schedule_rows import attempt, made, outcome


async def test_an_attempt_is_read_as_it_was_written(db: Db) -> None:
    of = await made(db)
    store = db.schedules(ALICE)
    begun, refused = attempt(of), attempt(of, attempt=2, **outcome())
    for each in (begun, refused):
        assert await store.begin_run(each) == each
        assert await store.get_run(of.id, each.id) == each


async def test_an_attempt_that_is_begun_again_is_the_first_one(db: Db) -> None:
    of = await made(db)
    store = db.schedules(ALICE)
    first = attempt(of, run_id="first")
    await store.begin_run(first)
    assert await store.begin_run(replace(first, run_id="second")) == first
    assert (await store.list_runs(of.id, page=1, limit=10)).runs == (first,)


async def test_an_attempt_of_another_schedule_is_none_of_this_one(db: Db) -> None:
    one, other = await made(db, "one"), await made(db, "other")
    store = db.schedules(ALICE)
    its = attempt(one)
    await store.begin_run(its)
    assert await store.begin_run(replace(its, schedule_id=other.id)) is None
    assert await store.get_run(other.id, its.id) is None


async def test_of_processes_that_begin_one_attempt_at_once_all_have_one_run(new_db: MakeDb) -> None:
    dbs = [new_db() for _ in range(3)]
    of = await made(dbs[0])
    first = attempt(of)
    found = await asyncio.gather(
        *(dbs[n % 3].schedules(ALICE).begin_run(replace(first, run_id=f"r{n}")) for n in range(12))
    )
    assert len({each.run_id for each in found if each is not None}) == 1
    assert None not in found
    await asyncio.gather(*(db.close() for db in dbs))


async def test_an_attempt_ends_once(db: Db) -> None:
    of = await made(db)
    store = db.schedules(ALICE)
    begun = attempt(of)
    await store.begin_run(begun)
    paused = replace(begun, status=ScheduleRunStatus.PAUSED)
    ended = replace(begun, **outcome())
    assert await store.end_run(paused)
    assert await store.get_run(of.id, begun.id) == paused
    assert await store.end_run(ended)
    assert not await store.end_run(replace(ended, error="another", completed_at_us=tick()))
    assert await store.get_run(of.id, begun.id) == ended


async def test_no_attempt_is_begun_of_a_schedule_that_is_gone(db: Db) -> None:
    of = await made(db)
    store = db.schedules(ALICE)
    begun = attempt(of)
    await store.begin_run(begun)
    await store.delete(of.id)
    assert await store.begin_run(attempt(of)) is None
    assert await store.get_run(of.id, begun.id) is None
    assert not await store.end_run(replace(begun, **outcome()))
    assert (await store.list_runs(of.id, page=1, limit=10)).total_count == 0


async def test_the_runs_of_a_schedule_outlive_it(db: Db) -> None:
    of = await made(db)
    its = await stored(db.store(ALICE), run())
    await db.schedules(ALICE).begin_run(attempt(of, run_id=its.run_id, session_id="s"))
    await db.schedules(ALICE).delete(of.id)
    assert await db.store(ALICE).get_run(its.session_key, its.run_id) == its


async def test_attempts_are_listed_the_latest_first(db: Db) -> None:
    of = await made(db)
    store = db.schedules(ALICE)
    for planned, number in ((5, 1), (7, 1), (5, 2)):
        await store.begin_run(attempt(of, triggered_at_us=planned, attempt=number))
    page = await store.list_runs(of.id, page=1, limit=2)
    assert [(each.triggered_at_us, each.attempt) for each in page.runs] == [(7, 1), (5, 2)]
    assert page.total_count == 3
    rest = await store.list_runs(of.id, page=2, limit=2)
    assert [(each.triggered_at_us, each.attempt) for each in rest.runs] == [(5, 1)]
    assert (await store.list_runs(of.id, page=3, limit=2)).runs == ()


async def test_an_attempt_that_no_row_can_hold_is_refused(db: Db) -> None:
    of = await made(db)
    store = db.schedules(ALICE)
    with pytest.raises(StorageError):
        await store.begin_run(attempt(of, error="\0"))
    begun = attempt(of)
    await store.begin_run(begun)
    with pytest.raises(StorageError):
        await store.end_run(replace(begun, error="\0"))
