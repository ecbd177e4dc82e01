"""Several people who decide at once, in several processes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from licet.db.approval_records import Deleting
from licet.db.base import Db
from licet.db.records import RunStatus, Saving
from tests.contract.conftest import MakeDb
from tests.contract.pause_rows import (
    approval,
    at_work,
    decision,
    gone_on,
    paused,
    pausing,
)
from tests.contract.rows import ALICE, tick
from tests.contract.work_rows import claimed, job_of


async def close(*dbs: Db) -> None:
    """Close them all; in memory they are one."""
    await asyncio.gather(*(db.close() for db in dbs))


async def test_of_many_decisions_at_once_one_counts(new_db: MakeDb) -> None:
    dbs = (new_db(), new_db())
    for turn in range(10):
        waits = await paused(dbs[0], f"{turn}", session_id=f"{turn}")
        made = [decision(approved=n % 3 == 0, by=f"{n}") for n in range(8)]
        counted = await asyncio.gather(
            *(dbs[n % 2].approvals().resolve(f"{turn}", each) for n, each in enumerate(made))
        )
        assert sorted(counted) == [False] * 7 + [True]
        found = await dbs[0].approvals().get(f"{turn}")
        assert found is not None
        assert found.approval.resolution == made[counted.index(True)]
        run = await dbs[0].store(ALICE).find_run(waits.run_id)
        assert run is not None
        assert (run.status, run.updated_at_us) == (
            RunStatus.PENDING,
            made[counted.index(True)].at_us,
        )
    await close(*dbs)


@pytest.mark.parametrize("count", [2, 5])
async def test_of_the_last_decisions_at_once_one_lets_the_run_go_on(
    new_db: MakeDb, count: int
) -> None:
    dbs = (new_db(), new_db())
    for turn in range(20):
        ids = [f"{turn}.{n}" for n in range(count)]
        waits = await paused(dbs[0], *ids, session_id=f"{turn}")
        made = [decision() for _ in ids]
        assert all(
            await asyncio.gather(
                *(dbs[n % 2].approvals().resolve(each, made[n]) for n, each in enumerate(ids))
            )
        )
        run = await dbs[1].store(ALICE).find_run(waits.run_id)
        assert run is not None
        assert run.status is RunStatus.PENDING
        assert run.updated_at_us in {each.at_us for each in made}
        found = await asyncio.gather(*(claimed(db, f"e{n}") for n, db in enumerate(dbs)))
        assert [each.run.run_id for each in found if each is not None] == [waits.run_id]
    await close(*dbs)


async def test_of_a_decision_and_a_cancellation_at_once_the_run_is_told_of_one(
    new_db: MakeDb,
) -> None:
    one, other = new_db(), new_db()
    for turn in range(20):
        waits = await paused(one, f"{turn}", session_id=f"{turn}")
        cancelled = replace(waits, status=RunStatus.CANCELLED, updated_at_us=tick())
        counted, saving = await asyncio.gather(
            one.approvals().resolve(f"{turn}", made := decision()),
            other.store(ALICE).save_run(cancelled, session_state=None),
        )
        # What was decided first lets it wait for its turn, and that can be cancelled, too.
        assert counted or saving is Saving.SAVED
        run = await one.store(ALICE).find_run(waits.run_id)
        assert run is not None
        assert (run.status is RunStatus.CANCELLED) is (saving is Saving.SAVED)
        found = await other.approvals().get(f"{turn}")
        assert found is not None
        assert found.approval.resolution == (made if counted else None)
    await close(one, other)


async def test_of_going_on_and_the_decision_for_which_it_waits_neither_is_lost(
    new_db: MakeDb,
) -> None:
    one, other = new_db(), new_db()
    for turn in range(20):
        waits = await paused(one, f"{turn}", session_id=f"{turn}", of={"continues": False})
        counted, begun = await asyncio.gather(
            one.approvals().resolve(f"{turn}", decision()),
            other.store(ALICE).continue_run(
                gone_on(waits), paused_at_us=waits.updated_at_us, history_runs=0
            ),
        )
        assert counted
        run = await one.store(ALICE).find_run(waits.run_id)
        assert run is not None
        assert run.status is (RunStatus.PAUSED if begun is None else RunStatus.RUNNING)
    await close(one, other)


async def test_what_is_deleted_while_it_is_decided_is_gone(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    for turn in range(20):
        waits = await paused(one, f"{turn}", session_id=f"{turn}")
        _, count, deleting = await asyncio.gather(
            one.approvals().resolve(f"{turn}", decision()),
            other.store(ALICE).delete_sessions([waits.session_key]),
            other.approvals().delete(f"{turn}"),
        )
        assert count == 1
        assert deleting in {Deleting.ABSENT, Deleting.REFUSED}
        assert await one.approvals().get(f"{turn}") is None
        assert await one.store(ALICE).find_run(waits.run_id) is None
        assert await one.work().job(waits.run_id) is None
    await close(one, other)


async def test_a_session_that_is_deleted_while_its_run_pauses_is_gone(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    for turn in range(20):
        record = await at_work(one, f"{turn}")
        saving, count = await asyncio.gather(
            one.store(ALICE).pause_run(
                pausing(record),
                session_state={"new": 1},
                job=job_of(record),
                approvals=[approval(record, f"{turn}")],
            ),
            other.store(ALICE).delete_sessions([record.session_key]),
        )
        assert (saving in {Saving.SAVED, Saving.ABSENT}, count) == (True, 1)
        assert await one.approvals().get(f"{turn}") is None
        assert await one.work().job(record.run_id) is None
    await close(one, other)
