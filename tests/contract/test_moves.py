"""What a run may come to from where it is, and on whose word; what is refused writes nothing."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest

from licet.db.base import Db
from licet.db.records import RunRecord, RunStatus, Saving, SessionKey
from licet.db.run_states import ENDED, FIRST, may_be_saved
from licet.errors import InvalidInputError, NotFoundError
from tests.contract.conftest import MakeDb
from tests.contract.rows import ADMIN, ALICE, BOB, everything, run, session, stored

KEY = SessionKey("alice", "s")


def moved(record: RunRecord, status: RunStatus, **values: Any) -> RunRecord:
    """A run that has reached a state, and something else with it."""
    at = record.updated_at_us + 10
    reached = {"status": status, "body": b'"new"', "updated_at_us": at, **values}
    return replace(record, **reached)


@pytest.mark.parametrize("status", RunStatus)
async def test_a_run_begins_in_a_first_state_alone(db: Db, status: RunStatus) -> None:
    record = run(status=status)
    if status in FIRST:
        await db.store(ALICE).begin_run(session(), record, history_runs=0)
        assert await db.store(ALICE).get_run(KEY, record.run_id) == record
        return
    with pytest.raises(InvalidInputError, match="PENDING, RUNNING"):
        await db.store(ALICE).begin_run(session(), record, history_runs=0)
    assert await everything(db) == []


async def test_a_durable_run_that_is_to_wait_has_to_be_enqueued(db: Db) -> None:
    record = run(status=RunStatus.PENDING, durable=True)
    with pytest.raises(InvalidInputError, match="job"):
        await db.store(ALICE).begin_run(session(), record, history_runs=0)
    assert await everything(db) == []


async def test_who_works_on_a_run_and_whether_it_is_durable_is_stored(db: Db) -> None:
    record = await stored(db.store(ALICE), run(executor_id="e", durable=True))
    assert await db.store(ALICE).get_run(KEY, record.run_id) == record


@pytest.mark.parametrize(
    ("before", "after"), list(itertools.product(RunStatus, repeat=2)), ids=lambda s: str(s.value)
)
async def test_a_run_moves_as_states_may_follow_and_in_no_other_way(
    db: Db, before: RunStatus, after: RunStatus
) -> None:
    store = db.store(ALICE)
    record = await stored(store, run(status=before), session_state={"old": 1})
    kept = await everything(db)
    reached = moved(record, after)
    saving = await store.save_run(reached, session_state={"new": 1})
    if may_be_saved(before, after):
        assert saving is Saving.SAVED
        assert await store.get_run(KEY, record.run_id) == reached
        (found,) = await store.find_sessions("s")
        assert found.session_state == {"new": 1}
    else:
        assert saving is Saving.REFUSED
        assert await everything(db) == kept


@pytest.mark.parametrize(
    ("theirs", "mine"), [("e", "f"), ("e", None), (None, "e"), ("e", "E"), ("e", "e ")]
)
async def test_a_run_is_saved_by_whoever_works_on_it_alone(
    db: Db, theirs: str | None, mine: str | None
) -> None:
    store = db.store(ALICE)
    record = await stored(store, run(executor_id=theirs))
    kept = await everything(db)
    done = moved(record, RunStatus.COMPLETED, executor_id=mine)
    assert await store.save_run(done, session_state={"new": 1}) is Saving.REFUSED
    assert await db.store(ADMIN).save_run(done, session_state={"new": 1}) is Saving.REFUSED
    assert await store.work_on_run(replace(done, status=RunStatus.RUNNING), history_runs=1) is None
    assert await everything(db) == kept
    done = replace(done, executor_id=theirs)
    assert await store.save_run(done, session_state=None) is Saving.SAVED


async def test_saving_does_not_make_a_run_durable(db: Db) -> None:
    store = db.store(ALICE)
    record = await stored(store, run())
    assert await store.save_run(replace(record, durable=True), session_state=None) is Saving.SAVED
    assert await store.get_run(KEY, record.run_id) == record


async def test_a_run_of_somebody_else_is_absent_not_refused(db: Db) -> None:
    record = await stored(db.store(ALICE), run(status=RunStatus.COMPLETED))
    assert await db.store(BOB).save_run(record, session_state=None) is Saving.ABSENT
    theirs = replace(record, owner="bob")
    assert await db.store(BOB).save_run(theirs, session_state=None) is Saving.ABSENT


async def test_of_many_processes_that_end_a_run_one_does(new_db: MakeDb) -> None:
    dbs = [new_db() for _ in range(2)]
    store = dbs[0].store(ALICE)
    for _ in range(10):
        record = await stored(store, run(), session_state={})
        endings = [(n, status) for n in range(3) for status in sorted(ENDED)]
        savings = await asyncio.gather(
            *(
                dbs[number % 2]
                .store(ALICE)
                .save_run(
                    moved(record, status, body=f'"{number} {status}"'.encode()),
                    session_state={"by": f"{number} {status}"},
                )
                for number, status in endings
            )
        )
        assert sorted(savings) == [Saving.REFUSED] * (len(endings) - 1) + [Saving.SAVED]
        number, status = endings[savings.index(Saving.SAVED)]
        found = await store.get_run(KEY, record.run_id)
        assert found == moved(record, status, body=f'"{number} {status}"'.encode())
        # The state of the session is that of the one that was saved.
        (kept,) = await store.find_sessions("s")
        assert kept.session_state == {"by": f"{number} {status}"}
    await asyncio.gather(*(db.close() for db in dbs))


async def test_working_on_a_run_answers_what_beginning_it_would(db: Db) -> None:
    store = db.store(ALICE)
    for number in range(3):
        await stored(store, run(status=RunStatus.COMPLETED, body=b"%d" % number))
    await stored(store, run(status=RunStatus.COMPLETED, component_id="other", body=b"9"))
    record = await stored(store, run(status=RunStatus.PENDING, executor_id="e"))
    working = moved(record, RunStatus.RUNNING)
    for limit, history in ((0, ()), (2, (b"1", b"2")), (9, (b"0", b"1", b"2"))):
        begun = await store.work_on_run(working, history_runs=limit)
        (kept,) = await store.find_sessions("s")
        assert begun is not None
        assert (begun.session, begun.history) == (kept, history)
        assert kept.updated_at_us == working.updated_at_us
    assert await store.get_run(KEY, record.run_id) == working


@pytest.mark.parametrize("status", RunStatus)
async def test_a_run_is_worked_on_from_where_it_may_work(db: Db, status: RunStatus) -> None:
    store = db.store(ALICE)
    record = await stored(store, run(status=status))
    kept = await everything(db)
    begun = await store.work_on_run(moved(record, RunStatus.RUNNING), history_runs=1)
    if may_be_saved(status, RunStatus.RUNNING):
        assert begun is not None
    else:
        assert begun is None
        assert await everything(db) == kept


@pytest.mark.parametrize("status", [s for s in RunStatus if s is not RunStatus.RUNNING])
async def test_to_work_on_a_run_is_to_let_it_run(db: Db, status: RunStatus) -> None:
    record = await stored(db.store(ALICE), run())
    kept = await everything(db)
    with pytest.raises(InvalidInputError, match="RUNNING"):
        await db.store(ALICE).work_on_run(moved(record, status), history_runs=0)
    assert await everything(db) == kept


async def test_a_run_that_is_not_there_is_not_worked_on(db: Db) -> None:
    store = db.store(ALICE)
    record = await stored(store, run())
    assert await store.delete_sessions([KEY]) == 1
    assert await store.work_on_run(record, history_runs=1) is None
    assert await store.work_on_run(run("\0"), history_runs=1) is None
    assert await store.work_on_run(run(run_id="\ud800"), history_runs=1) is None
    assert await everything(db) == []


async def test_a_run_is_found_by_its_id_by_whoever_reaches_it(db: Db) -> None:
    mine = await stored(db.store(ALICE), run("deep"))
    theirs = await stored(db.store(BOB), run(owner="bob"))
    assert await db.store(ALICE).find_run(mine.run_id) == mine
    assert await db.store(ALICE).find_run(theirs.run_id) is None
    assert await db.store(ADMIN).find_run(theirs.run_id) == theirs
    for unknown in ("unknown", "", "\0", "\ud800"):
        assert await db.store(ADMIN).find_run(unknown) is None


async def test_nobody_begins_a_run_out_of_reach_whatever_its_state(db: Db) -> None:
    with pytest.raises(NotFoundError):
        await db.store(BOB).begin_run(session(), run(status=RunStatus.ERROR), history_runs=0)
