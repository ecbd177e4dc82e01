"""Several processes at one queue: no run twice, no limit passed, nothing forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from licet.db.base import Access, Db
from licet.db.records import RunRecord, RunStatus, Saving
from licet.db.work_records import ClaimedRun, QueueFullError, QueueLimits
from tests.contract.conftest import MakeDb
from tests.contract.rows import ADMIN, ALICE, tick
from tests.contract.work_rows import UNLIMITED, claimed, ended, enqueued


async def close(*dbs: Db) -> None:
    """Close them all; in memory they are one."""
    await asyncio.gather(*(db.close() for db in dbs))


async def test_of_processes_that_claim_at_once_no_two_get_one_run(new_db: MakeDb) -> None:
    dbs = (new_db(), new_db())
    records = [await enqueued(dbs[0], f"{n}") for n in range(30)]
    found = await asyncio.gather(*(claimed(dbs[n % 2], f"e{n}") for n in range(40)))
    taken = [one for one in found if one is not None]
    assert sorted(one.run.run_id for one in taken) == sorted(r.run_id for r in records)
    for one in taken:
        assert await dbs[0].store(ALICE).find_run(one.run.run_id) == one.run
    await close(*dbs)


@pytest.mark.parametrize(
    ("limits", "most"),
    [(QueueLimits(overall=5), 5), (QueueLimits(per_principal=2), 6)],
    ids=repr,
)
async def test_processes_that_claim_at_once_pass_no_limit(
    new_db: MakeDb, limits: QueueLimits, most: int
) -> None:
    dbs = (new_db(), new_db())
    for number in range(24):
        await enqueued(dbs[0], f"{number}", principal_key=f"{number % 3}")
    for _ in range(3):
        found = await asyncio.gather(
            *(claimed(dbs[n % 2], f"e{n}", limits=limits) for n in range(20))
        )
        taken = [one for one in found if one is not None]
        assert len(taken) == most
        if limits.per_principal is not None:
            assert set(Counter(one.job.principal_key for one in taken).values()) == {2}
        await asyncio.gather(*(ended(dbs[0], one.run) for one in taken))
    await close(*dbs)


async def test_of_one_session_processes_that_claim_at_once_get_one_run(new_db: MakeDb) -> None:
    dbs = (new_db(), new_db())
    records = [await enqueued(dbs[0]) for _ in range(5)]
    for record in records:
        found = await asyncio.gather(*(claimed(dbs[n % 2], f"e{n}") for n in range(10)))
        (one,) = [one for one in found if one is not None]
        assert one.run.run_id == record.run_id
        await ended(dbs[1], one.run)
    await close(*dbs)


async def test_processes_that_work_through_a_queue_do_each_run_once_and_in_order(
    new_db: MakeDb,
) -> None:
    dbs, sessions, each = (new_db(), new_db()), 6, 5
    limits = QueueLimits(per_principal=2, overall=4)
    records = [
        await enqueued(dbs[0], f"{n % sessions}", principal_key=f"{n % 3}")
        for n in range(sessions * each)
    ]
    done: list[ClaimedRun] = []
    working: list[ClaimedRun] = []

    async def work(db: Db, executor_id: str) -> None:
        while len(done) < len(records):
            one = await claimed(db, executor_id, limits=limits)
            if one is None:
                await asyncio.sleep(0)
                continue
            working.append(one)
            assert len(working) <= 4
            assert max(Counter(w.job.principal_key for w in working).values()) <= 2
            assert max(Counter(w.run.session_id for w in working).values()) == 1
            # Some of what was claimed goes back, as if it had not been.
            if tick() % 5 == 0:
                working.remove(one)
                assert await db.work().put_back(one.run.run_id, executor_id=executor_id)
                continue
            begun = await db.store(ADMIN).work_on_run(one.run, history_runs=9)
            assert begun is not None
            working.remove(one)
            done.append(one)
            await ended(db, one.run)

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(dbs[n % 2], f"e{n}") for n in range(8)))
    for number in range(sessions):
        order = [r.run_id for r in records if r.session_id == f"{number}"]
        assert [one.run.run_id for one in done if one.run.session_id == f"{number}"] == order
    await close(*dbs)


async def test_of_a_claim_and_a_cancellation_at_once_one_holds(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    for turn in range(20):
        record = await enqueued(one, f"{turn}")
        cancelled = replace(record, status=RunStatus.CANCELLED, updated_at_us=tick())
        found, saving = await asyncio.gather(
            claimed(one, "e"), other.store(ALICE).save_run(cancelled, session_state=None)
        )
        assert (found is None) is (saving is Saving.SAVED)
        stored = await one.store(ALICE).find_run(record.run_id)
        assert stored == (cancelled if found is None else found.run)
        if found is not None:
            await ended(one, found.run)
    await close(one, other)


async def test_of_many_that_take_over_a_run_one_does(new_db: MakeDb) -> None:
    dbs = (new_db(), new_db())
    for turn in range(10):
        record = await enqueued(dbs[0], f"{turn}")
        assert await claimed(dbs[0], "dead") is not None
        names = [f"e{n}" for n in range(8)]
        taken = await asyncio.gather(
            *(
                dbs[n % 2].work().adopt(record.run_id, old_executor_id="dead", executor_id=name)
                for n, name in enumerate(names)
            )
        )
        assert sorted(taken) == [False] * 7 + [True]
        stored = await dbs[0].store(ALICE).find_run(record.run_id)
        assert stored is not None
        assert stored.executor_id == names[taken.index(True)]
    await close(*dbs)


async def test_a_run_is_claimed_whatever_else_its_session_is_doing(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    records = [await enqueued(one, f"{n}") for n in range(10)]
    going = True

    async def change(record: RunRecord) -> None:
        foreground = replace(
            record, run_id=f"of {record.session_id}", status=RunStatus.RUNNING, durable=False
        )
        store = other.store(Access(record.owner))
        (of,) = await store.find_sessions(record.session_id)
        await store.begin_run(of, foreground, history_runs=0)
        while going:
            assert await store.save_run(foreground, session_state={"at": tick()}) is Saving.SAVED

    changing = [asyncio.create_task(change(record)) for record in records]
    for record in records:
        found = await claimed(one)
        assert found is not None
        assert found.run.run_id == record.run_id
    going = False
    await asyncio.gather(*changing)
    await close(one, other)


async def test_those_of_one_process_that_enqueue_at_once_leave_no_more_waiting_than_may(
    db: Db,
) -> None:
    outcomes = await asyncio.gather(
        *(enqueued(db, f"{n}", limits=QueueLimits(waiting=7)) for n in range(30)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, RunRecord) for outcome in outcomes) == 7
    assert sum(isinstance(outcome, QueueFullError) for outcome in outcomes) == 23
    assert await db.work().waiting() == 7


async def test_many_processes_claim_while_others_enqueue_and_ask(new_db: MakeDb) -> None:
    dbs = (new_db(), new_db())
    count = 40

    async def enqueue() -> None:
        for number in range(count):
            record = await enqueued(
                dbs[number % 2], f"{number % 7}", limits=QueueLimits(waiting=99)
            )
            await dbs[number % 2].work().raise_work()
            await (
                dbs[(number + 1) % 2]
                .store(ALICE)
                .ask_to_cancel(record.session_key, record.run_id, now_us=tick())
            )

    async def work(db: Db, executor_id: str) -> int:
        found = 0
        while not enqueuing.done() or await db.work().waiting():
            one = await claimed(db, executor_id, limits=UNLIMITED)
            if one is not None:
                await db.store(ADMIN).ask_to_cancel(
                    one.run.session_key, one.run.run_id, now_us=tick()
                )
                assert one.run.run_id in await db.work().cancels_asked(executor_id)
                await ended(db, one.run, RunStatus.CANCELLED)
                found += 1
        return found

    async with asyncio.timeout(60):
        enqueuing = asyncio.create_task(enqueue())
        counts = await asyncio.gather(*(work(dbs[n % 2], f"e{n}") for n in range(4)))
        await enqueuing
    assert sum(counts) == count
    await close(*dbs)
