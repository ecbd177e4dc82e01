"""The queue of durable runs: what is claimed next, by whom, and how a run comes back into it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from licet.db.base import Db
from licet.db.records import RunStatus, Saving, SessionKey
from licet.db.work_records import QueueFullError, QueueLimits
from licet.errors import ConflictError, InvalidInputError, NotFoundError, StorageError
from tests.contract.rows import ADMIN, ALICE, BOB, everything, run, session, stored
from tests.contract.work_rows import (
    UNLIMITED,
    claimed,
    claimed_id,
    ended,
    enqueued,
    job_of,
    queued,
)

KEY = SessionKey("alice", "s")


async def test_an_enqueued_run_waits_with_its_session_and_its_job(db: Db) -> None:
    record = queued(user_id="u", parent_run_id="p", total_tokens=3)
    kept, job = session(session_state={"a": 1}), job_of(record)
    await db.store(ALICE).enqueue_run(kept, record, job, limits=UNLIMITED)
    assert await everything(db) == [kept, record]
    assert await db.work().job(record.run_id) == job
    assert await db.work().waiting() == 1


async def test_a_job_without_authority_comes_back_without_one(db: Db) -> None:
    record = queued()
    job = job_of(record, snapshot=None, request='{"message": "naïve \\u0000 👩🏽"}'.encode())
    await db.store(ALICE).enqueue_run(session(), record, job, limits=UNLIMITED)
    assert await db.work().job(record.run_id) == job


async def test_a_session_that_there_is_stays_as_it_is(db: Db) -> None:
    await db.store(ALICE).create_session(kept := session(session_state={"a": 1}))
    record = await enqueued(db)
    assert await everything(db) == [kept, record]


async def test_nothing_is_claimed_where_nothing_waits(db: Db) -> None:
    await stored(db.store(ALICE), run(durable=True))
    await stored(db.store(ALICE), run(status=RunStatus.PENDING))
    assert await db.work().waiting() == 0
    assert await claimed(db) is None


async def test_a_claimed_run_works_and_comes_with_its_job(db: Db) -> None:
    record = await enqueued(db)
    found = await claimed(db, "e", now_us=99)
    working = replace(record, status=RunStatus.RUNNING, executor_id="e", updated_at_us=99)
    assert found is not None
    assert (found.run, found.job) == (working, job_of(record))
    assert await db.store(ALICE).get_run(KEY, record.run_id) == working
    assert await db.work().waiting() == 0
    assert await claimed(db) is None


async def test_the_oldest_is_claimed_first_and_of_one_moment_the_lower_id(db: Db) -> None:
    for session_id, run_id, at in (("s", "d", 30), ("t", "c", 20), ("u", "a", 20), ("v", "b", 10)):
        await enqueued(db, session_id, run_id=run_id, at=at)
    assert [await claimed_id(db) for _ in range(5)] == ["b", "a", "c", "d", None]


async def test_a_session_works_on_one_run_at_a_time_in_their_order(db: Db) -> None:
    for run_id, at in (("b", 20), ("a", 30), ("c", 10)):
        await enqueued(db, run_id=run_id, at=at)
    for run_id in ("c", "b", "a"):
        found = await claimed(db)
        assert found is not None
        assert found.run.run_id == run_id
        assert await claimed(db, "other") is None
        await ended(db, found.run)
    assert await claimed(db) is None


async def test_runs_of_one_moment_in_one_session_are_claimed_one_after_the_other(db: Db) -> None:
    for run_id in ("b", "a"):
        await enqueued(db, run_id=run_id, at=10)
    first = await claimed(db)
    assert first is not None
    assert first.run.run_id == "a"
    assert await claimed(db) is None


async def test_sessions_of_one_id_but_other_owners_do_not_wait_for_each_other(db: Db) -> None:
    first, second = await enqueued(db), await enqueued(db, owner="bob")
    assert [await claimed_id(db) for _ in range(2)] == [first.run_id, second.run_id]


async def test_runs_that_are_not_durable_hold_no_session(db: Db) -> None:
    store = db.store(ALICE)
    await stored(store, run())
    await stored(store, run(status=RunStatus.PENDING))
    record = await enqueued(db)
    assert await claimed_id(db) == record.run_id


async def test_a_run_that_waits_and_is_older_than_one_that_works_waits_for_it(db: Db) -> None:
    young = await enqueued(db, run_id="young", at=20)
    assert await claimed_id(db) == young.run_id
    await enqueued(db, run_id="old", at=10)
    assert await claimed(db) is None


async def test_a_paused_run_does_not_hold_its_session(db: Db) -> None:
    await enqueued(db, run_id="first", at=10)
    await enqueued(db, run_id="second", at=20)
    first = await claimed(db)
    assert first is not None
    await ended(db, first.run, RunStatus.PAUSED)
    assert await claimed_id(db) == "second"


async def test_a_process_passes_over_runs_of_agents_that_it_does_not_serve(db: Db) -> None:
    await enqueued(db, "s", run_id="theirs", component_id="new")
    await enqueued(db, "t", run_id="ours")
    assert await claimed_id(db, agent_ids=("agent", "\0", "\ud800")) == "ours"
    assert await claimed(db) is None
    assert await claimed(db, agent_ids=()) is None
    assert await claimed_id(db, agent_ids=("agent", "new")) == "theirs"


async def test_a_run_that_is_passed_over_still_holds_its_session(db: Db) -> None:
    await enqueued(db, run_id="theirs", component_id="new")
    await enqueued(db, run_id="ours")
    assert await claimed(db) is None


async def test_a_run_whose_agent_nobody_serves_is_claimed_by_anybody_in_the_end(db: Db) -> None:
    await enqueued(db, run_id="left", component_id="gone", at=10)
    assert await claimed(db, unserved_before_us=10) is None
    assert await claimed_id(db, unserved_before_us=11) == "left"


@pytest.mark.parametrize("status", [RunStatus.ERROR, RunStatus.CANCELLED])
async def test_a_run_that_ends_before_it_is_claimed_is_not_claimed(
    db: Db, status: RunStatus
) -> None:
    first, second = await enqueued(db), await enqueued(db)
    await ended(db, first, status)
    assert await claimed_id(db) == second.run_id


async def test_a_deleted_session_takes_its_runs_out_of_the_queue(db: Db) -> None:
    record, left = await enqueued(db), await enqueued(db, "t")
    assert await db.store(ALICE).delete_sessions([KEY]) == 1
    assert await db.work().job(record.run_id) is None
    assert await db.work().waiting() == 1
    assert await claimed_id(db) == left.run_id


@pytest.mark.parametrize(
    ("limits", "count"),
    [
        (QueueLimits(), 4),
        (QueueLimits(overall=3), 3),
        (QueueLimits(per_principal=1), 2),
        (QueueLimits(per_principal=2), 3),
        (QueueLimits(per_principal=1, overall=1), 1),
        (QueueLimits(per_principal=0), 0),
        (QueueLimits(overall=0), 0),
        (QueueLimits(overall=-1), 0),
        (QueueLimits(per_principal=10**30, overall=10**30), 4),
    ],
    ids=repr,
)
async def test_no_more_work_than_the_limits_allow(db: Db, limits: QueueLimits, count: int) -> None:
    for number, principal in enumerate("aaab"):
        await enqueued(db, f"{number}", principal_key=principal)
    found = [await claimed(db, f"e{n}", limits=limits) for n in range(5)]
    assert len([one for one in found if one is not None]) == count


async def test_whoever_has_reached_a_limit_lets_others_pass(db: Db) -> None:
    limits = QueueLimits(per_principal=1)
    working = [await enqueued(db, f"{n}", principal_key="greedy") for n in range(3)]
    late = await enqueued(db, "late", principal_key="modest")
    assert await claimed_id(db, limits=limits) == working[0].run_id
    assert await claimed_id(db, limits=limits) == late.run_id
    assert await claimed(db, limits=limits) is None


async def test_nobody_passes_within_a_session_whoever_has_reached_a_limit(db: Db) -> None:
    limits = QueueLimits(per_principal=1)
    busy = await enqueued(db, "t", principal_key="greedy")
    assert await claimed_id(db, limits=limits) == busy.run_id
    older = await enqueued(db, principal_key="greedy")
    await enqueued(db, principal_key="modest")
    assert await claimed(db, limits=limits) is None
    assert await claimed_id(db) == older.run_id


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.PAUSED])
async def test_what_has_ended_or_pauses_counts_for_no_limit(db: Db, status: RunStatus) -> None:
    limits = QueueLimits(per_principal=1, overall=1)
    for number in range(3):
        await enqueued(db, f"{number}")
    for _ in range(3):
        found = await claimed(db, limits=limits)
        assert found is not None
        assert await claimed(db, limits=limits) is None
        await ended(db, found.run, status)


async def test_runs_that_are_not_durable_count_for_no_limit(db: Db) -> None:
    await stored(db.store(ALICE), run("t", executor_id="e"))
    record = await enqueued(db)
    assert await claimed_id(db, limits=QueueLimits(per_principal=1, overall=1)) == record.run_id


async def test_no_more_wait_than_may(db: Db) -> None:
    limits = QueueLimits(waiting=2)
    for number in range(2):
        await enqueued(db, f"{number}", owner=f"{number}", limits=limits)
    before = await everything(db)
    with pytest.raises(QueueFullError, match="2 runs wait"):
        await enqueued(db, "new", limits=limits)
    assert await everything(db) == before
    assert await db.work().waiting() == 2
    assert await claimed(db) is not None
    await enqueued(db, "new", limits=limits)


async def test_where_nothing_may_wait_nothing_is_enqueued(db: Db) -> None:
    with pytest.raises(QueueFullError):
        await enqueued(db, limits=QueueLimits(waiting=0))
    assert await everything(db) == []


async def test_what_does_not_wait_takes_no_room(db: Db) -> None:
    await stored(db.store(ALICE), run(status=RunStatus.PENDING))
    await stored(db.store(ALICE), run(durable=True))
    await enqueued(db, limits=QueueLimits(waiting=1))


@pytest.mark.parametrize(
    "changes",
    [{"durable": False}, {"status": RunStatus.RUNNING}, {"executor_id": "e"}],
    ids=repr,
)
async def test_only_a_durable_run_that_waits_is_enqueued(db: Db, changes: dict[str, Any]) -> None:
    record = queued(**changes)
    with pytest.raises(InvalidInputError, match="durable"):
        await db.store(ALICE).enqueue_run(session(), record, job_of(record), limits=UNLIMITED)
    assert await everything(db) == []


async def test_a_run_is_enqueued_with_its_own_job_and_session(db: Db) -> None:
    record = queued()
    with pytest.raises(InvalidInputError, match="job"):
        await db.store(ALICE).enqueue_run(session(), record, job_of(queued()), limits=UNLIMITED)
    with pytest.raises(InvalidInputError, match="session"):
        await db.store(ALICE).enqueue_run(session("t"), record, job_of(record), limits=UNLIMITED)
    assert await everything(db) == []


async def test_a_run_cannot_be_enqueued_for_somebody_out_of_reach(db: Db) -> None:
    record = queued()
    with pytest.raises(NotFoundError):
        await db.store(BOB).enqueue_run(session(), record, job_of(record), limits=UNLIMITED)
    assert await everything(db) == []
    await db.store(ADMIN).enqueue_run(session(), record, job_of(record), limits=UNLIMITED)
    assert await claimed_id(db) == record.run_id


async def test_a_run_id_cannot_be_enqueued_twice(db: Db) -> None:
    record = await enqueued(db)
    with pytest.raises(ConflictError, match=record.run_id):
        await enqueued(db, "other", run_id=record.run_id)
    assert await db.store(ALICE).find_sessions("other") == []
    assert await db.work().waiting() == 1


@pytest.mark.parametrize("field", ["request", "snapshot"])
@pytest.mark.parametrize("bad", [b"\xff", b'"raw \0 NUL"'])
async def test_a_job_that_is_no_json_text_is_refused(db: Db, field: str, bad: bytes) -> None:
    record = queued()
    with pytest.raises(StorageError, match=field):
        await db.store(ALICE).enqueue_run(
            session(), record, job_of(record, **{field: bad}), limits=UNLIMITED
        )
    assert await everything(db) == []


async def test_a_run_is_taken_over_from_the_process_that_has_it(db: Db) -> None:
    record, work = await enqueued(db), db.work()
    assert await claimed_id(db, "old") == record.run_id
    adopted = await work.adopt(record.run_id, old_executor_id="else", executor_id="new")
    assert adopted is False
    assert [r.run_id for r in await work.durable_runs_of("old")] == [record.run_id]
    assert await work.adopt(record.run_id, old_executor_id="old", executor_id="new") is True
    assert await work.durable_runs_of("old") == []
    assert [r.run_id for r in await work.durable_runs_of("new")] == [record.run_id]
    assert await work.adopt(record.run_id, old_executor_id="old", executor_id="third") is False


async def test_a_run_is_taken_over_from_whichever_process_has_it(db: Db) -> None:
    record, work = await enqueued(db), db.work()
    assert await claimed_id(db, "old") == record.run_id
    assert await work.adopt(record.run_id, old_executor_id=None, executor_id="new") is True
    assert [r.executor_id for r in await work.durable_runs_of("new")] == ["new"]


async def test_only_a_durable_run_at_work_is_taken_over_or_put_back(db: Db) -> None:
    store, work = db.store(ALICE), db.work()
    foreground = await stored(store, run(executor_id="e"))
    waiting = await enqueued(db, "t")
    await enqueued(db, "u", run_id="done", at=1)
    done = await claimed(db, "e")
    assert done is not None
    await ended(db, done.run)
    for run_id in (foreground.run_id, waiting.run_id, "done", "unknown", "\0", "\ud800"):
        assert await work.adopt(run_id, old_executor_id=None, executor_id="e") is False
        assert await work.adopt(run_id, old_executor_id="e", executor_id="e") is False
        assert await work.put_back(run_id, executor_id="e") is False
    assert await work.waiting() == 1
    assert await store.get_run(KEY, foreground.run_id) == foreground


async def test_whoever_lost_a_run_can_store_nothing_of_it(db: Db) -> None:
    record, store = await enqueued(db), db.store(ALICE)
    found = await claimed(db, "old")
    assert found is not None
    assert await db.work().adopt(record.run_id, old_executor_id="old", executor_id="new")
    done = replace(found.run, status=RunStatus.COMPLETED)
    assert await store.save_run(done, session_state={"a": 1}) is Saving.REFUSED
    theirs = replace(done, executor_id="new")
    assert await store.save_run(theirs, session_state=None) is Saving.SAVED


async def test_a_run_that_is_put_back_waits_in_its_old_place(db: Db) -> None:
    record, work = await enqueued(db, at=10), db.work()
    await enqueued(db, at=20)
    assert await claimed_id(db, "e") == record.run_id
    assert await work.put_back(record.run_id, executor_id="other") is False
    assert await work.waiting() == 1
    assert await work.put_back(record.run_id, executor_id="e") is True
    assert await work.put_back(record.run_id, executor_id="e") is False
    found = await db.store(ALICE).get_run(KEY, record.run_id)
    assert found is not None
    assert (found.status, found.executor_id) == (RunStatus.PENDING, None)
    assert await work.waiting() == 2
    assert await claimed_id(db, "new") == record.run_id


async def test_a_run_that_nobody_could_claim_is_not_put_back(db: Db) -> None:
    record = await stored(db.store(ALICE), run(durable=True, executor_id="e"))
    assert await db.work().put_back(record.run_id, executor_id="e") is False


async def test_a_job_stays_when_its_run_has_ended(db: Db) -> None:
    record = await enqueued(db)
    found = await claimed(db)
    assert found is not None
    await ended(db, found.run)
    assert await db.work().job(record.run_id) == job_of(record)
    assert await db.work().job("unknown") is None
    assert await db.work().job("\0") is None


@pytest.mark.parametrize("bad", ["a\0b", "\ud83d", "é" * 500])
async def test_a_process_whose_name_cannot_be_stored_takes_no_run(db: Db, bad: str) -> None:
    record = await enqueued(db)
    with pytest.raises(StorageError, match="id"):
        await claimed(db, bad)
    assert await claimed_id(db, "e") == record.run_id
    with pytest.raises(StorageError, match="id"):
        await db.work().adopt(record.run_id, old_executor_id="e", executor_id=bad)
    assert [r.run_id for r in await db.work().durable_runs_of("e")] == [record.run_id]


async def test_a_time_beyond_64_bits_is_refused(db: Db) -> None:
    await enqueued(db)
    with pytest.raises(StorageError, match="now_us"):
        await claimed(db, now_us=2**63)
    assert await db.work().waiting() == 1
