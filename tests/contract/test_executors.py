"""Processes that work on runs: how they live, die, come back, and what is left of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from licet.db.base import Db
from licet.db.records import RunStatus, Saving
from licet.db.work_records import WORK_TOPIC, ExecutorEnd
from licet.errors import StorageError
from tests.contract.conftest import MakeDb
from tests.contract.rows import ALICE, BOB, run, stored
from tests.contract.work_rows import claimed, ended, enqueued, executor, once, work_number

DIED, LEFT = ExecutorEnd.DIED, ExecutorEnd.LEFT


async def test_a_process_that_registers_lives(db: Db) -> None:
    await db.work().register_executor(kept := executor(beats=3))
    assert await db.work().executors() == [kept]


async def test_whoever_registers_lives_whatever_the_record_says(db: Db) -> None:
    await db.work().register_executor(executor(ended=DIED, settled=True))
    (found,) = await db.work().executors()
    assert (found.ended, found.settled) == (None, False)


async def test_processes_are_named_in_the_order_in_which_they_started(db: Db) -> None:
    for executor_id, at in (("c", 20), ("b", 30), ("a", 30), ("d", 10)):
        await db.work().register_executor(executor(executor_id, started_at_us=at))
    assert [e.id for e in await db.work().executors()] == ["d", "c", "a", "b"]


async def test_beats_are_counted_one_by_one(db: Db) -> None:
    work = db.work()
    await work.register_executor(kept := executor("e"))
    await work.register_executor(other := executor("f"))
    for _ in range(3):
        assert await work.beat("e") is True
    assert await work.executors() == [replace(kept, beats=3), other]


@pytest.mark.parametrize("name", ["unknown", "", "\0", "\ud800"])
async def test_a_process_that_there_is_not_neither_beats_nor_ends(db: Db, name: str) -> None:
    assert await db.work().beat(name) is False
    assert await db.work().end_executor(name, end=DIED, beats=None) is False
    await db.work().settle_executor(name)
    assert await db.work().executors() == []


@pytest.mark.parametrize("end", ExecutorEnd)
@pytest.mark.parametrize("beats", [None, 2])
async def test_one_that_ended_does_not_beat_and_stays_until_it_is_settled(
    db: Db, end: ExecutorEnd, beats: int | None
) -> None:
    work = db.work()
    await work.register_executor(kept := executor("e", beats=2))
    assert await work.end_executor("e", end=end, beats=beats) is True
    assert await work.beat("e") is False
    assert await work.executors() == [replace(kept, ended=end)]
    await work.settle_executor("e")
    assert await work.executors() == []
    assert await work.beat("e") is False


async def test_a_process_ends_once(db: Db) -> None:
    work = db.work()
    await work.register_executor(kept := executor("e"))
    assert await work.end_executor("e", end=LEFT, beats=None) is True
    assert await work.end_executor("e", end=DIED, beats=None) is False
    assert await work.executors() == [replace(kept, ended=LEFT)]


@pytest.mark.parametrize("beats", [0, 1, 3, -1, 10**30])
async def test_one_that_has_come_back_is_not_taken_for_dead(db: Db, beats: int) -> None:
    work = db.work()
    await work.register_executor(kept := executor("e", beats=1))
    assert await work.beat("e")
    assert await work.end_executor("e", end=DIED, beats=beats) is False
    assert await work.executors() == [replace(kept, beats=2)]
    assert await work.beat("e") is True


async def test_of_a_beat_and_a_verdict_at_once_one_holds(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    for turn in range(20):
        name = f"{turn}"
        await one.work().register_executor(executor(name))
        beat, died = await asyncio.gather(
            one.work().beat(name), other.work().end_executor(name, end=DIED, beats=0)
        )
        assert beat is not died
    await asyncio.gather(one.close(), other.close())


async def test_of_many_that_say_that_one_died_one_is_told_that_it_did(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    await one.work().register_executor(executor("e"))
    said = await asyncio.gather(
        *(db.work().end_executor("e", end=DIED, beats=0) for db in (one, other) for _ in range(5))
    )
    assert sorted(said) == [False] * 9 + [True]
    await asyncio.gather(one.close(), other.close())


async def test_one_that_registers_again_lives_and_its_old_beats_do_not_count(db: Db) -> None:
    work = db.work()
    await work.register_executor(executor("e"))
    assert await work.end_executor("e", end=DIED, beats=0)
    await work.settle_executor("e")
    await work.register_executor(again := executor("e"))
    assert await work.executors() == [replace(again, beats=1)]
    assert await work.end_executor("e", end=DIED, beats=0) is False
    assert await work.beat("e") is True


async def test_one_that_lives_is_not_settled(db: Db) -> None:
    await db.work().register_executor(kept := executor("e"))
    await db.work().settle_executor("e")
    assert await db.work().executors() == [kept]


async def test_an_end_wakes_who_works(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    await one.work().register_executor(executor("e"))
    before = await work_number(other)
    watch = asyncio.create_task(other.watch(WORK_TOPIC, after=before, timeout_seconds=30))
    assert await one.work().end_executor("e", end=DIED, beats=None)
    assert await watch == before + 1
    (found,) = await other.work().executors()
    assert found.ended is DIED
    await asyncio.gather(one.close(), other.close())


@pytest.mark.parametrize("bad", ["a\0b", "\udc00", "é" * 500])
async def test_a_name_that_cannot_be_stored_is_refused(db: Db, bad: str) -> None:
    with pytest.raises(StorageError, match="id"):
        await db.work().register_executor(executor(bad))
    with pytest.raises(StorageError, match="started_at_us"):
        await db.work().register_executor(executor("e", started_at_us=2**63))
    assert await db.work().executors() == []


async def test_the_runs_of_a_process_are_those_it_is_at_work_on(db: Db) -> None:
    store, work = db.store(ALICE), db.work()
    old = await stored(store, run("t", executor_id="e", at=10))
    young = await stored(db.store(BOB), run("u", owner="bob", executor_id="e", at=20))
    await stored(store, run("v", executor_id="other"))
    for status in RunStatus:
        if status is not RunStatus.RUNNING:
            await stored(store, run("w", executor_id="e", status=status))
    durable = await stored(store, run("x", executor_id="e", durable=True))
    assert await work.foreground_runs_of("e") == [old, young]
    assert await work.durable_runs_of("e") == [durable]
    for name in ("", "unknown", "\0", "\ud800"):
        assert await work.foreground_runs_of(name) == []
        assert await work.durable_runs_of(name) == []


async def test_runs_that_no_process_ever_worked_on_are_found(db: Db) -> None:
    nobodys = await stored(db.store(ALICE), run())
    await stored(db.store(ALICE), run(executor_id="e"))
    await stored(db.store(ALICE), run(durable=True))
    assert await db.work().foreground_runs_of(None) == [nobodys]


async def test_of_very_many_runs_the_oldest_thousand_are_answered(db: Db) -> None:
    store = db.store(ALICE)
    records = [run(f"{n % 7}", run_id=f"{n:04}", at=2000 - n, executor_id="e") for n in range(1005)]
    await asyncio.gather(*(stored(store, record) for record in records))
    found = await db.work().foreground_runs_of("e")
    assert [r.run_id for r in found] == [f"{n:04}" for n in range(1004, 4, -1)]


async def test_what_is_old_and_settled_is_forgotten(db: Db) -> None:
    work = db.work()
    for name, at in (("old", 10), ("alive", 10), ("unsettled", 10), ("young", 20)):
        await work.register_executor(executor(name, started_at_us=at))
        if name != "alive":
            assert await work.end_executor(name, end=DIED, beats=None)
        if name in ("old", "young"):
            await work.settle_executor(name)
    await enqueued(db, asked=once("old", created_at_us=10))
    await enqueued(db, asked=once("young", created_at_us=20))
    assert await work.forget_before(20) == 2
    assert await work.forget_before(20) == 0
    assert [e.id for e in await work.executors()] == ["alive", "unsettled"]
    assert await work.waiting() == 2
    assert await work.forget_before(10**30) == 2


async def test_a_run_of_a_dead_process_goes_on_and_the_dead_one_can_store_nothing(
    new_db: MakeDb,
) -> None:
    one, other = new_db(), new_db()
    await one.work().register_executor(executor("dead"))
    await enqueued(one)
    theirs = await claimed(one, "dead")
    assert theirs is not None
    assert await other.work().end_executor("dead", end=DIED, beats=0)
    (left,) = await other.work().durable_runs_of("dead")
    assert await other.work().adopt(left.run_id, old_executor_id="dead", executor_id="new")
    await other.work().settle_executor("dead")
    assert await one.work().beat("dead") is False
    done = replace(theirs.run, status=RunStatus.COMPLETED)
    assert await one.store(ALICE).save_run(done, session_state={"a": 1}) is Saving.REFUSED
    await ended(other, replace(left, executor_id="new"))
    await asyncio.gather(one.close(), other.close())
