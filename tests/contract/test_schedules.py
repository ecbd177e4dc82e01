from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from licet.db.base import NOBODY, Access, Db
from licet.db.schedule_records import (
    SCHEDULE_TOPIC,
    ScheduleQuery,
    ScheduleSaving,
    TimedSchedule,
    TooManySchedulesError,
)
from licet.errors import NotFoundError, StorageError
from tests.contract.conftest import MakeDb
from tests.contract.rows import ADMIN, ALICE, BOB
from tests.contract.schedule_rows import MANY, attempt, made, names, schedule


async def test_a_schedule_is_read_as_it_was_written(db: Db) -> None:
    full = await made(
        db,
        "Täglich \N{SNOWMAN}",
        user_id="u",
        description="says hi",
        payload={"message": "hi\0", "session_state": {"n": [1, None, 2.5]}},
        timezone="Europe/Berlin",
        timeout_seconds=7,
        max_retries=2,
        retry_delay_seconds=0,
        enabled=False,
        disabled_reason="why",
    )
    bare = await made(db, "bare", cron_expr="", payload={}, snapshot=None)
    assert await db.schedules(ALICE).get(full.id) == full
    assert await db.schedules(ALICE).get(bare.id) == bare


async def test_a_schedule_of_nobody_is_nobodys(db: Db) -> None:
    made_openly = await made(db, owner=NOBODY)
    assert await db.schedules(Access(NOBODY)).get(made_openly.id) == made_openly
    assert await db.schedules(ALICE).get(made_openly.id) is None


async def test_one_owner_has_one_schedule_of_a_name_and_another_has_theirs(db: Db) -> None:
    first = await made(db, "daily")
    store = db.schedules(ALICE)
    assert not await store.create(schedule("daily"), limit=MANY)
    assert not await store.create(schedule("other", id=first.id), limit=MANY)
    assert await names(db) == ["daily"]
    await made(db, "daily", owner="bob")
    assert await names(db) == ["daily", "daily"]


async def test_nobody_makes_schedules_for_others(db: Db) -> None:
    with pytest.raises(NotFoundError):
        await db.schedules(BOB).create(schedule(), limit=MANY)
    assert await db.schedules(ADMIN).create(schedule(), limit=MANY)


async def test_an_owner_has_as_many_as_they_may_and_leaves_others_theirs(db: Db) -> None:
    await made(db, "a")
    await made(db, "b", enabled=False)
    with pytest.raises(TooManySchedulesError, match="There are 2 schedules"):
        await db.schedules(ALICE).create(schedule("c"), limit=2)
    assert await names(db) == ["b", "a"]
    assert await db.schedules(BOB).create(schedule("c", owner="bob"), limit=2)


async def test_what_another_owner_has_is_as_if_it_did_not_exist(db: Db) -> None:
    hers = await made(db)
    her_run = attempt(hers)
    await db.schedules(ALICE).begin_run(her_run)
    his = db.schedules(BOB)
    assert await his.get(hers.id) is None
    assert await names(db, BOB) == []
    assert await his.timed() == []
    assert await his.save(hers, read_at_us=hers.updated_at_us) is ScheduleSaving.ABSENT
    stolen = replace(hers, owner="bob", updated_at_us=hers.updated_at_us + 1)
    assert await his.save(stolen, read_at_us=hers.updated_at_us) is ScheduleSaving.ABSENT
    assert not await his.delete(hers.id)
    assert await his.begin_run(attempt(hers)) is None
    assert await his.begin_run(attempt(hers, owner="bob")) is None
    assert not await his.end_run(replace(her_run, completed_at_us=1))
    assert await his.get_run(hers.id, her_run.id) is None
    assert (await his.list_runs(hers.id, page=1, limit=10)).total_count == 0
    assert await db.schedules(ALICE).get(hers.id) == hers


async def test_who_sees_all_reaches_everybodys(db: Db) -> None:
    hers = await made(db, "hers")
    await made(db, "his", owner="bob")
    assert await names(db) == ["his", "hers"]
    everybodys = db.schedules(ADMIN)
    assert await everybodys.get(hers.id) == hers
    assert await everybodys.delete(hers.id)
    assert await names(db) == ["his"]


async def test_lists_are_filtered_and_paged_the_newest_first(db: Db) -> None:
    made_ones = [await made(db, name, enabled=name != "b") for name in "abc"]
    assert await names(db, ALICE) == ["c", "b", "a"]
    assert await names(db, ALICE, enabled=True) == ["c", "a"]
    assert await names(db, ALICE, enabled=False) == ["b"]
    assert await names(db, ALICE, ids=frozenset({made_ones[0].id, "unknown", "\0"})) == ["a"]
    assert await names(db, ALICE, ids=frozenset()) == []
    assert await names(db, ALICE, page=2, limit=2) == ["a"]
    page = await db.schedules(ALICE).list_schedules(ScheduleQuery(page=9, limit=2))
    assert (page.schedules, page.total_count) == ((), 3)


async def test_the_clock_is_told_of_what_is_enabled_and_has_times(db: Db) -> None:
    daily = await made(db, "daily", id="2", timezone="Europe/Berlin")
    await made(db, "off", id="3", enabled=False)
    await made(db, "on demand", id="4", cron_expr="")
    await made(db, "his", id="1", owner="bob")
    timed = TimedSchedule(id=daily.id, cron_expr="0 9 * * *", timezone="Europe/Berlin")
    assert await db.schedules(ALICE).timed() == [timed]
    assert [each.id for each in await db.schedules(ADMIN).timed()] == ["1", "2"]


async def test_a_change_is_stored_whole_but_for_what_stays(db: Db) -> None:
    before = await made(db, user_id="u")
    changed = replace(
        before,
        name="other",
        payload={"message": "ho"},
        enabled=False,
        disabled_reason="why",
        snapshot=None,
        updated_at_us=before.updated_at_us + 1,
    )
    asked = replace(changed, user_id="v", created_at_us=1)
    store = db.schedules(ALICE)
    assert await store.save(asked, read_at_us=before.updated_at_us) is ScheduleSaving.SAVED
    assert await store.get(before.id) == changed


async def test_of_two_changes_of_what_was_read_once_the_second_is_not_made(db: Db) -> None:
    read = await made(db)
    store = db.schedules(ALICE)
    first = replace(read, description="first", updated_at_us=read.updated_at_us + 1)
    second = replace(read, description="second", updated_at_us=read.updated_at_us + 2)
    assert await store.save(first, read_at_us=read.updated_at_us) is ScheduleSaving.SAVED
    assert await store.save(second, read_at_us=read.updated_at_us) is ScheduleSaving.CHANGED
    assert await store.get(read.id) == first


async def test_a_schedule_does_not_take_the_name_of_another(db: Db) -> None:
    await made(db, "taken")
    await made(db, "his", owner="bob")
    mine = await made(db, "mine")
    store = db.schedules(ALICE)
    asked = replace(mine, name="taken", updated_at_us=mine.updated_at_us + 1)
    assert await store.save(asked, read_at_us=mine.updated_at_us) is ScheduleSaving.NAME_TAKEN
    assert await store.get(mine.id) == mine
    free = replace(asked, name="his")
    assert await store.save(free, read_at_us=mine.updated_at_us) is ScheduleSaving.SAVED


async def test_what_was_deleted_cannot_be_changed(db: Db) -> None:
    gone = await made(db)
    store = db.schedules(ALICE)
    assert await store.delete(gone.id)
    assert not await store.delete(gone.id)
    assert await store.save(gone, read_at_us=gone.updated_at_us) is ScheduleSaving.ABSENT
    assert await store.get(gone.id) is None


async def test_whoever_follows_hears_of_each_change(new_db: MakeDb) -> None:
    db, other = new_db(), new_db()
    number = await other.watch(SCHEDULE_TOPIC, after=-1, timeout_seconds=0)
    read = await made(db)
    store = db.schedules(ALICE)
    changes = (
        lambda: store.save(
            replace(read, updated_at_us=read.updated_at_us + 1), read_at_us=read.updated_at_us
        ),
        lambda: store.delete(read.id),
    )
    for change in (None, *changes):
        if change is not None:
            await change()
        seen = await other.watch(SCHEDULE_TOPIC, after=number, timeout_seconds=30)
        assert seen > number
        number = seen
    await asyncio.gather(db.close(), other.close())


async def test_of_requests_at_once_one_gets_the_name(new_db: MakeDb) -> None:
    dbs = [new_db() for _ in range(3)]
    asked = [schedule("daily") for _ in range(12)]
    taken = await asyncio.gather(
        *(dbs[n % 3].schedules(ALICE).create(each, limit=MANY) for n, each in enumerate(asked))
    )
    assert sorted(taken) == [False] * 11 + [True]
    await asyncio.gather(*(db.close() for db in dbs))


@pytest.mark.parametrize("identifier", ["", "unknown", "\0", "\ud800"])
async def test_nothing_is_found_by_an_id_that_none_has(db: Db, identifier: str) -> None:
    await made(db)
    store = db.schedules(ALICE)
    ghost = schedule(id=identifier)
    assert await store.get(identifier) is None
    assert not await store.delete(identifier)
    assert await store.save(ghost, read_at_us=1) is ScheduleSaving.ABSENT
    assert await store.begin_run(attempt(ghost)) is None
    assert await store.get_run(identifier, identifier) is None
    assert not await store.end_run(attempt(ghost, id=identifier))
    assert (await store.list_runs(identifier, page=1, limit=1)).runs == ()


async def test_an_owner_that_cannot_be_stored_has_nothing(db: Db) -> None:
    await made(db)
    store = db.schedules(Access("\0"))
    assert await store.get("x") is None
    assert (await store.list_schedules(ScheduleQuery())).schedules == ()
    assert await store.timed() == []
    assert not await store.delete("x")


@pytest.mark.parametrize(
    "values",
    [{"name": "\0"}, {"name": "n" * 801}, {"timeout_seconds": 2**63}, {"snapshot": b"\xff"}],
    ids=str,
)
async def test_what_no_row_can_hold_is_refused(db: Db, values: dict[str, Any]) -> None:
    with pytest.raises(StorageError):
        await db.schedules(ALICE).create(schedule(**{"name": "n", **values}), limit=MANY)
    assert await names(db) == []


async def test_nobody_shares_a_payload_with_the_database(db: Db) -> None:
    kept = await made(db)
    kept.payload["message"] = "changed"
    found = await db.schedules(ALICE).get(kept.id)
    assert found is not None
    assert found.payload == {"message": "hi"}
