"""Asking whoever works on a run to stop it."""

from __future__ import annotations

import asyncio

import pytest

from licet.db.base import Db
from licet.db.records import RunStatus, SessionKey
from licet.db.work_records import WORK_TOPIC
from licet.errors import StorageError
from tests.contract.conftest import MakeDb
from tests.contract.rows import ADMIN, ALICE, BOB, everything, run, stored
from tests.contract.watches import DEADLINE_SECONDS
from tests.contract.work_rows import claimed, claimed_id, ended, enqueued, work_number

KEY = SessionKey("alice", "s")


@pytest.mark.parametrize("durable", [False, True])
async def test_whoever_works_on_a_run_hears_that_it_is_to_stop(db: Db, *, durable: bool) -> None:
    store, work = db.store(ALICE), db.work()
    record = await stored(store, run(executor_id="e", durable=durable))
    kept = await everything(db)
    assert await work.cancels_asked("e") == []
    assert await store.ask_to_cancel(KEY, record.run_id, now_us=5) is True
    assert await store.ask_to_cancel(KEY, record.run_id, now_us=9) is True
    assert await work.cancels_asked("e") == [record.run_id]
    assert await work.cancels_asked("other") == []
    assert await everything(db) == kept


async def test_the_oldest_run_is_named_first(db: Db) -> None:
    store = db.store(ALICE)
    for run_id, at in (("c", 30), ("a", 30), ("b", 10)):
        await stored(store, run(run_id=run_id, at=at, executor_id="e"))
        assert await store.ask_to_cancel(KEY, run_id, now_us=5)
    assert await db.work().cancels_asked("e") == ["b", "a", "c"]


@pytest.mark.parametrize("status", [s for s in RunStatus if s is not RunStatus.RUNNING])
async def test_what_does_not_work_is_not_asked_to_stop(db: Db, status: RunStatus) -> None:
    record = await stored(db.store(ALICE), run(status=status, executor_id="e"))
    assert await db.store(ALICE).ask_to_cancel(KEY, record.run_id, now_us=5) is False
    assert await db.work().cancels_asked("e") == []


async def test_only_whoever_reaches_a_run_asks_for_it(db: Db) -> None:
    record = await stored(db.store(ALICE), run(executor_id="e"))
    before = await work_number(db)
    for key in (KEY, SessionKey("bob", "s"), SessionKey("alice", "t"), SessionKey("alice", "\0")):
        assert await db.store(BOB).ask_to_cancel(key, record.run_id, now_us=5) is False
    for run_id in ("unknown", "\0", "\ud800"):
        assert await db.store(ALICE).ask_to_cancel(KEY, run_id, now_us=5) is False
    elsewhere = SessionKey("alice", "t")
    assert await db.store(ALICE).ask_to_cancel(elsewhere, record.run_id, now_us=5) is False
    assert await db.work().cancels_asked("e") == []
    assert await work_number(db) == before
    assert await db.store(ADMIN).ask_to_cancel(KEY, record.run_id, now_us=5) is True
    assert await db.work().cancels_asked("e") == [record.run_id]


@pytest.mark.parametrize("name", ["", "\0", "\ud800"])
async def test_a_process_that_there_is_not_is_asked_nothing(db: Db, name: str) -> None:
    record = await stored(db.store(ALICE), run())
    assert await db.store(ALICE).ask_to_cancel(KEY, record.run_id, now_us=5)
    assert await db.work().cancels_asked(name) == []


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.PAUSED])
async def test_what_does_not_work_any_more_is_not_named(db: Db, status: RunStatus) -> None:
    record = await stored(db.store(ALICE), run(executor_id="e"))
    assert await db.store(ALICE).ask_to_cancel(KEY, record.run_id, now_us=5)
    await ended(db, record, status)
    assert await db.work().cancels_asked("e") == []


async def test_it_stays_asked_while_the_run_waits_and_whoever_takes_it_over(db: Db) -> None:
    record, work = await enqueued(db), db.work()
    assert await claimed_id(db, "one") == record.run_id
    assert await db.store(ALICE).ask_to_cancel(KEY, record.run_id, now_us=5)
    assert await work.put_back(record.run_id, executor_id="one")
    assert await work.cancels_asked("one") == []
    assert await claimed(db, "two") is not None
    assert await work.cancels_asked("two") == [record.run_id]
    assert await work.adopt(record.run_id, old_executor_id="two", executor_id="three")
    assert await work.cancels_asked("three") == [record.run_id]


async def test_a_new_run_of_the_id_of_a_deleted_one_is_not_asked(db: Db) -> None:
    record = await stored(db.store(ALICE), run(executor_id="e"))
    assert await db.store(ALICE).ask_to_cancel(KEY, record.run_id, now_us=5)
    await db.store(ALICE).delete_sessions([KEY])
    await stored(db.store(ALICE), record)
    assert await db.work().cancels_asked("e") == []


async def test_a_time_beyond_64_bits_is_refused(db: Db) -> None:
    record = await stored(db.store(ALICE), run(executor_id="e"))
    with pytest.raises(StorageError, match="now_us"):
        await db.store(ALICE).ask_to_cancel(KEY, record.run_id, now_us=2**63)
    assert await db.work().cancels_asked("e") == []


async def test_who_follows_in_another_process_is_woken_and_sees_it(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    record = await stored(one.store(ALICE), run(executor_id="e"))
    before = await work_number(other)
    watch = asyncio.create_task(
        other.watch(WORK_TOPIC, after=before, timeout_seconds=DEADLINE_SECONDS)
    )
    assert await one.store(ALICE).ask_to_cancel(KEY, record.run_id, now_us=5)
    assert await watch == before + 1
    assert await other.work().cancels_asked("e") == [record.run_id]
    await asyncio.gather(one.close(), other.close())


async def test_waking_who_works_raises_the_number_by_itself(db: Db) -> None:
    before = await work_number(db)
    await db.work().raise_work()
    assert await work_number(db) == before + 1
