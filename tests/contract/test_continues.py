"""Paused runs that go on: once, and only when nothing is undecided."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from licet.db.base import Db
from licet.db.records import RunRecord, RunStatus, Saving, SessionKey
from licet.errors import InvalidInputError, StorageError
from tests.contract.conftest import MakeDb
from tests.contract.pause_rows import (
    approval,
    at_work,
    decision,
    gone_on,
    pause,
    paused,
    pausing,
    whole,
)
from tests.contract.rows import ADMIN, ALICE, BOB, run, stored, tick
from tests.contract.work_rows import claimed, claimed_id, enqueued, job_of

KEY = SessionKey("alice", "s")


async def test_a_run_goes_on_where_it_was_decided(db: Db) -> None:
    waits = await paused(db, user_id="u", parent_run_id="p", total_tokens=3)
    going_on = gone_on(waits, durable=False)
    meddled = replace(
        going_on, user_id="x", parent_run_id="y", component_id="agent", total_tokens=9
    )
    store = db.store(ALICE)
    begun = await store.continue_run(meddled, paused_at_us=waits.updated_at_us, history_runs=0)
    assert begun is not None
    assert await store.get_run(KEY, waits.run_id) == going_on
    assert list(await db.work().foreground_runs_of("f")) == [going_on]


async def test_it_gets_what_beginning_it_would_and_leaves_the_session_as_it_is(db: Db) -> None:
    store = db.store(ALICE)
    for number in range(3):
        await stored(store, run(status=RunStatus.COMPLETED, body=b"%d" % number))
    waits = await paused(db)
    (kept,) = await store.find_sessions("s")
    for limit, history in ((0, ()), (2, (b"1", b"2"))):
        going_on = gone_on(waits)
        begun = await store.continue_run(
            going_on, paused_at_us=waits.updated_at_us, history_runs=limit
        )
        assert begun is not None
        assert (begun.session, begun.history) == (kept, history)
        waits = await pause(db, going_on)
        (kept,) = await store.find_sessions("s")


async def test_a_durable_run_waits_for_its_turn_with_the_job_that_it_has(db: Db) -> None:
    waits = await paused(db, at=1)
    await enqueued(db, at=2)
    going_on = gone_on(waits, RunStatus.PENDING)
    store = db.store(ALICE)
    assert await store.continue_run(going_on, paused_at_us=waits.updated_at_us, history_runs=0)
    assert await store.get_run(KEY, waits.run_id) == going_on
    assert await db.work().waiting() == 2
    found = await claimed(db)
    assert found is not None
    # The oldest first, as if it had never paused.
    assert found.run == replace(
        going_on,
        status=RunStatus.RUNNING,
        executor_id="e",
        updated_at_us=found.run.updated_at_us,
    )
    assert found.job == job_of(found.run)
    assert await claimed(db, "f") is None


async def test_a_run_that_was_not_durable_can_go_on_as_one(db: Db) -> None:
    waits = await paused(db, durable=False)
    going_on = gone_on(waits, RunStatus.PENDING, durable=True)
    store = db.store(ALICE)
    assert await store.continue_run(going_on, paused_at_us=waits.updated_at_us, history_runs=0)
    assert await claimed_id(db) == waits.run_id
    assert [each.run_id for each in await db.work().durable_runs_of("e")] == [waits.run_id]


async def test_a_run_without_a_job_does_not_wait_for_a_turn_that_never_comes(db: Db) -> None:
    record, store = await at_work(db), db.store(ALICE)
    reached = pausing(record)
    await store.pause_run(reached, session_state=None, job=None, approvals=())
    before = await whole(db)
    going_on, at = gone_on(reached, RunStatus.PENDING), reached.updated_at_us
    assert await store.continue_run(going_on, paused_at_us=at, history_runs=0) is None
    assert await whole(db) == before
    later = await enqueued(db)
    assert await claimed_id(db) == later.run_id
    here = gone_on(reached)
    assert await store.continue_run(here, paused_at_us=at, history_runs=0) is not None


@pytest.mark.parametrize("status", [s for s in RunStatus if s is not RunStatus.PAUSED])
async def test_only_what_has_paused_goes_on(db: Db, status: RunStatus) -> None:
    record = await stored(db.store(ALICE), run(status=status, durable=status != "PENDING"))
    assert await refused(db, record)


async def refused(db: Db, record: RunRecord, *, at_us: int | None = None, **values: Any) -> bool:
    """Whether a run goes on in neither way, and nothing is written."""
    before = await whole(db)
    at = record.updated_at_us if at_us is None else at_us
    for status in (RunStatus.RUNNING, RunStatus.PENDING):
        going_on = replace(gone_on(record, status), durable=True, **values)
        for access in (ALICE, ADMIN):
            begun = await db.store(access).continue_run(going_on, paused_at_us=at, history_runs=1)
            if begun is not None:
                return False
    return await whole(db) == before


async def test_a_run_goes_on_from_the_pause_that_was_looked_at(db: Db) -> None:
    waits = await paused(db)
    at = waits.updated_at_us
    for stale in (at - 1, at + 1, 0, -(2**70), 2**70):
        assert await refused(db, waits, at_us=stale)
    going_on, store = gone_on(waits), db.store(ALICE)
    assert await store.continue_run(going_on, paused_at_us=at, history_runs=0) is not None
    again = await pause(db, going_on)
    assert await refused(db, waits, at_us=at)
    assert await store.get_run(KEY, waits.run_id) == again


async def test_a_run_does_not_go_on_while_one_approval_is_undecided(db: Db) -> None:
    waits = await paused(db, "a", "b", of={"continues": False})
    await paused(db, "other")
    assert await refused(db, waits)
    await db.approvals().resolve("a", decision())
    assert await refused(db, waits)
    await db.approvals().resolve("b", decision(approved=False))
    # The pause is the same one: deciding does not touch the run.
    at, store = waits.updated_at_us, db.store(ALICE)
    assert await store.continue_run(gone_on(waits), paused_at_us=at, history_runs=0) is not None


async def test_an_approval_that_nobody_decided_in_time_still_holds_the_run(db: Db) -> None:
    waits = await paused(db, "a", of={"expires_at_us": 1})
    assert not await db.approvals().resolve("a", decision())
    assert await refused(db, waits)


async def test_approvals_of_earlier_pauses_hold_nothing(db: Db) -> None:
    waits = await paused(db, "a", of={"continues": False})
    await db.approvals().resolve("a", decision())
    store = db.store(ALICE)
    going_on = gone_on(waits)
    await store.continue_run(going_on, paused_at_us=waits.updated_at_us, history_runs=0)
    again = await pause(db, going_on, [approval(going_on, "b", continues=False)])
    assert await refused(db, again)
    await db.approvals().resolve("b", decision())
    at = again.updated_at_us
    assert await store.continue_run(gone_on(again), paused_at_us=at, history_runs=0) is not None


async def test_nobody_goes_on_with_a_run_out_of_reach(db: Db) -> None:
    waits = await paused(db)
    before, at = await whole(db), waits.updated_at_us
    going_on = gone_on(waits)
    for access, other in (
        (BOB, going_on),
        (BOB, replace(going_on, owner="bob")),
        (ALICE, replace(going_on, session_id="t")),
        (ALICE, replace(going_on, run_id="unknown")),
        (ALICE, replace(going_on, run_id="\0")),
        (ALICE, replace(going_on, session_id="\ud800")),
    ):
        begun = await db.store(access).continue_run(other, paused_at_us=at, history_runs=1)
        assert begun is None
    assert await whole(db) == before
    begun = await db.store(ADMIN).continue_run(going_on, paused_at_us=at, history_runs=1)
    assert begun is not None


@pytest.mark.parametrize(
    "values",
    [
        *({"status": s} for s in RunStatus if s not in {RunStatus.PENDING, RunStatus.RUNNING}),
        {"status": RunStatus.PENDING, "durable": False},
        {"status": RunStatus.PENDING, "executor_id": "e"},
    ],
    ids=repr,
)
async def test_a_run_goes_on_as_somebody_can_work_on_it(db: Db, values: dict[str, Any]) -> None:
    waits = await paused(db)
    before = await whole(db)
    going_on = replace(waits, **{"durable": True, "executor_id": None, **values})
    with pytest.raises(InvalidInputError):
        await db.store(ALICE).continue_run(
            going_on, paused_at_us=waits.updated_at_us, history_runs=0
        )
    assert await whole(db) == before


async def test_what_no_row_can_hold_does_not_go_on(db: Db) -> None:
    waits = await paused(db)
    before, store = await whole(db), db.store(ALICE)
    for bad in ({"body": b"\xff"}, {"executor_id": "\0"}, {"updated_at_us": 2**63}):
        with pytest.raises(StorageError):
            await store.continue_run(
                gone_on(waits, **bad), paused_at_us=waits.updated_at_us, history_runs=0
            )
    assert await whole(db) == before


async def test_a_run_that_was_asked_to_stop_before_it_paused_is_asked_still(db: Db) -> None:
    record, store = await at_work(db), db.store(ALICE)
    await store.ask_to_cancel(KEY, record.run_id, now_us=tick())
    # By hand: ``pause_run`` would refuse.
    reached = pausing(record)
    assert await store.save_run(reached, session_state=None) is Saving.SAVED
    going_on = gone_on(reached)
    begun = await store.continue_run(going_on, paused_at_us=reached.updated_at_us, history_runs=0)
    assert begun is not None
    assert list(await db.work().cancels_asked("f")) == [record.run_id]


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.PENDING])
async def test_of_many_that_go_on_with_a_run_at_once_one_does(
    new_db: MakeDb, status: RunStatus
) -> None:
    dbs = (new_db(), new_db())
    for turn in range(10):
        waits = await paused(dbs[0], session_id=f"{turn}")
        going_on = [gone_on(waits, status, body=b"%d" % n) for n in range(8)]
        begun = await asyncio.gather(
            *(
                dbs[n % 2]
                .store(ALICE)
                .continue_run(each, paused_at_us=waits.updated_at_us, history_runs=0)
                for n, each in enumerate(going_on)
            )
        )
        (first,) = [n for n, each in enumerate(begun) if each is not None]
        assert await dbs[0].store(ALICE).find_run(waits.run_id) == going_on[first]
    await asyncio.gather(*(db.close() for db in dbs))


async def test_of_going_on_and_a_cancellation_at_once_one_holds(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    for turn in range(20):
        waits = await paused(one, session_id=f"{turn}")
        going_on = gone_on(waits)
        cancelled = replace(waits, status=RunStatus.CANCELLED, updated_at_us=tick())
        begun, saving = await asyncio.gather(
            one.store(ALICE).continue_run(
                going_on, paused_at_us=waits.updated_at_us, history_runs=0
            ),
            other.store(ALICE).save_run(cancelled, session_state=None),
        )
        assert (begun is None) is (saving is Saving.SAVED)
        found = await one.store(ALICE).find_run(waits.run_id)
        assert found == (cancelled if begun is None else going_on)
    await asyncio.gather(one.close(), other.close())
