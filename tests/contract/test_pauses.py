"""Runs that pause: what is written with them, wholly or not at all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from licet.db.base import Access, Db
from licet.db.records import RunStatus, Saving, SessionKey
from licet.db.work_records import QueueLimits
from licet.errors import ConflictError, InvalidInputError, StorageError
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
from tests.contract.rows import ADMIN, ALICE, BOB, run, session, stored, tick
from tests.contract.work_rows import claimed, enqueued, job_of

KEY = SessionKey("alice", "s")


async def test_a_pause_writes_what_was_reached_and_nothing_else(db: Db) -> None:
    record = await at_work(db, user_id="u", parent_run_id="p")
    reached = pausing(record, total_tokens=12)
    meddled = replace(
        reached, user_id="x", parent_run_id="y", component_id="z", created_at_us=1, durable=False
    )
    store = db.store(ALICE)
    saving = await store.pause_run(meddled, session_state=None, job=None, approvals=())
    assert saving is Saving.SAVED
    assert await store.get_run(KEY, record.run_id) == replace(reached, executor_id=None)
    assert await db.work().job(record.run_id) is None


async def test_a_pause_stores_the_job_and_all_that_is_waited_for(db: Db) -> None:
    record = await at_work(db)
    wanted = [approval(record, each) for each in "cab"]
    await pause(db, record, wanted)
    assert await db.work().job(record.run_id) == job_of(record)
    assert list(await db.approvals().of_run(record.run_id)) == wanted


async def test_a_job_that_a_run_has_already_stays_as_it_is(db: Db) -> None:
    record = await enqueued(db)
    one = await claimed(db)
    assert one is not None
    reached, other = pausing(one.run), job_of(record, request=b'"other"', principal_key="other")
    store = db.store(ALICE)
    saving = await store.pause_run(reached, session_state=None, job=other, approvals=())
    assert saving is Saving.SAVED
    assert await db.work().job(record.run_id) == one.job


async def test_nobody_works_on_what_has_paused(db: Db) -> None:
    record = await at_work(db)
    at_rest, work = await pause(db, record), db.work()
    assert list(await work.durable_runs_of("e")) == []
    assert list(await work.foreground_runs_of(None)) == []
    assert not await work.adopt(record.run_id, old_executor_id=None, executor_id="f")
    assert not await work.put_back(record.run_id, executor_id="e")
    assert await claimed(db) is None
    for executor_id in ("e", None):
        late = replace(record, status=RunStatus.COMPLETED, executor_id=executor_id)
        assert await db.store(ALICE).save_run(late, session_state={"x": 1}) is Saving.REFUSED
    assert await db.store(ALICE).get_run(KEY, record.run_id) == at_rest


async def test_a_paused_run_holds_nothing_in_its_session(db: Db) -> None:
    await paused(db, "a", at=1)
    later = await enqueued(db, at=2)
    found = await claimed(db, limits=QueueLimits(overall=1, per_principal=1))
    assert found is not None
    assert found.run.run_id == later.run_id


async def test_a_pause_writes_the_state_only_if_it_is_given(db: Db) -> None:
    store = db.store(ALICE)
    for given, expected in ((None, {"a": 1}), ({"b": [None]}, {"b": [None]}), ({}, {})):
        record = await stored(store, run(), session_state={"a": 1})
        await store.pause_run(pausing(record), session_state=given, job=None, approvals=())
        (found,) = await store.find_sessions("s")
        assert found.session_state == expected


async def test_a_pause_moves_the_session_forward_never_back(db: Db) -> None:
    store = db.store(ALICE)
    for at, expected in ((900, 900), (700, 900)):
        record = await stored(store, run(at=500), at=500)
        reached = pausing(record, updated_at_us=at)
        await store.pause_run(reached, session_state=None, job=None, approvals=())
        (found,) = await store.find_sessions("s")
        assert (found.created_at_us, found.updated_at_us) == (500, expected)


@pytest.mark.parametrize("status", [s for s in RunStatus if s is not RunStatus.RUNNING])
async def test_only_what_works_can_pause(db: Db, status: RunStatus) -> None:
    record = await stored(db.store(ALICE), run(status=status))
    before = await whole(db)
    assert await all_of_a_pause(db, record) is Saving.REFUSED
    assert await whole(db) == before


@pytest.mark.parametrize("mine", ["f", "E", "", None], ids=repr)
async def test_a_run_is_paused_by_whoever_works_on_it_alone(db: Db, mine: str | None) -> None:
    record = replace(await at_work(db), executor_id=mine)
    before = await whole(db)
    assert await all_of_a_pause(db, record) is Saving.REFUSED
    assert await all_of_a_pause(db, record, access=ADMIN) is Saving.REFUSED
    assert await whole(db) == before


async def all_of_a_pause(db: Db, record: Any, *, access: Access = ALICE) -> Saving:
    """What comes of a pause that brings everything that one can bring."""
    return await db.store(access).pause_run(
        pausing(record),
        session_state={"new": 1},
        job=job_of(record),
        approvals=[approval(record, f"of {record.owner}")],
    )


async def test_a_run_that_was_asked_to_stop_does_not_pause(db: Db) -> None:
    record = await at_work(db)
    assert await db.store(ALICE).ask_to_cancel(KEY, record.run_id, now_us=tick())
    before = await whole(db)
    assert await all_of_a_pause(db, record) is Saving.REFUSED
    assert await whole(db) == before
    assert list(await db.work().cancels_asked("e")) == [record.run_id]


async def test_a_run_that_was_deleted_is_absent_whatever_comes_with_its_pause(db: Db) -> None:
    record = await at_work(db)
    await db.store(ALICE).delete_sessions([KEY])
    assert await all_of_a_pause(db, record) is Saving.ABSENT
    await db.store(ALICE).create_session(again := session())
    assert await all_of_a_pause(db, record) is Saving.ABSENT
    assert (await whole(db))[:-1] == [again]


async def test_a_run_of_somebody_else_is_absent(db: Db) -> None:
    record = await at_work(db)
    before = await whole(db)
    assert await all_of_a_pause(db, record, access=BOB) is Saving.ABSENT
    theirs = replace(record, owner="bob")
    assert await all_of_a_pause(db, theirs, access=BOB) is Saving.ABSENT
    moved = replace(record, session_id="t")
    assert await all_of_a_pause(db, moved) is Saving.ABSENT
    assert await whole(db) == before
    assert await all_of_a_pause(db, record, access=ADMIN) is Saving.SAVED


@pytest.mark.parametrize("bad", ["\0", "\ud800"], ids=repr)
async def test_nothing_pauses_under_a_key_that_cannot_be_stored(db: Db, bad: str) -> None:
    record = await at_work(db)
    before = await whole(db)
    for other in (replace(record, session_id=bad), replace(record, run_id=bad)):
        assert await all_of_a_pause(db, other) is Saving.ABSENT
    assert await whole(db) == before


@pytest.mark.parametrize("status", [s for s in RunStatus if s is not RunStatus.PAUSED])
async def test_to_pause_a_run_is_to_let_it_be_paused(db: Db, status: RunStatus) -> None:
    record = await at_work(db)
    before = await whole(db)
    with pytest.raises(InvalidInputError, match="PAUSED"):
        await db.store(ALICE).pause_run(
            pausing(record, status=status), session_state=None, job=None, approvals=()
        )
    assert await whole(db) == before


@pytest.mark.parametrize("wrong", ["run_id", "owner", "session_id"])
async def test_a_run_waits_for_its_own_approvals_and_not_for_anothers(db: Db, wrong: str) -> None:
    record = await at_work(db)
    await at_work(db, "t", run_id="other")
    mine, not_mine = approval(record, "a"), approval(record, "b", **{wrong: "other"})
    before = await whole(db)
    with pytest.raises(InvalidInputError, match="approvals"):
        await db.store(ADMIN).pause_run(
            pausing(record), session_state=None, job=None, approvals=[mine, not_mine]
        )
    with pytest.raises(InvalidInputError, match="job"):
        await db.store(ALICE).pause_run(
            pausing(record), session_state=None, job=job_of(record, run_id="other"), approvals=()
        )
    assert await whole(db) == before


async def test_no_approval_is_taken_for_one_that_is_there_already(db: Db) -> None:
    await paused(db, "a")
    await db.approvals().resolve("a", decision())
    record = await at_work(db, "t")
    before, store = await whole(db), db.store(ALICE)
    for ids in ("ba", "bb"):
        wanted = [approval(record, each) for each in ids]
        with pytest.raises(ConflictError, match=f"approval '{ids[1]}'"):
            await store.pause_run(pausing(record), session_state=None, job=None, approvals=wanted)
    assert await whole(db) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, bad)
            for name in ("tool_call_id", "tool_name", "user_id")
            for bad in ("\0", "\ud800")
        ),
        ("arguments", "\udc00"),
        ("id", "x" * 801),
        ("created_at_us", 2**63),
        ("expires_at_us", -(2**64)),
    ],
    ids=repr,
)
async def test_what_no_row_of_approvals_can_hold_is_refused(
    db: Db, name: str, value: object
) -> None:
    record = await at_work(db)
    before = await whole(db)
    bad = [approval(record, "a"), approval(record, "b", **{name: value})]
    with pytest.raises(StorageError, match=name):
        await db.store(ALICE).pause_run(
            pausing(record), session_state={"x": 1}, job=job_of(record), approvals=bad
        )
    assert await whole(db) == before


async def test_what_no_row_of_runs_or_jobs_can_hold_is_refused(db: Db) -> None:
    record, store = await at_work(db), db.store(ALICE)
    before, reached, job = await whole(db), pausing(record), job_of(record)
    for bad_run, state, bad_job in (
        (replace(reached, body=b"\xff"), None, None),
        (reached, {"x": object()}, None),
        (reached, None, replace(job, request=b"raw \0")),
        (reached, None, replace(job, principal_key="\ud800")),
    ):
        with pytest.raises(StorageError):
            await store.pause_run(bad_run, session_state=state, job=bad_job, approvals=())
    assert await whole(db) == before


async def test_a_run_can_pause_again_and_keeps_what_it_waited_for_before(db: Db) -> None:
    first = await paused(db, "a")
    await db.approvals().resolve("a", decision())
    one = await claimed(db, "f")
    assert one is not None
    assert one.run.run_id == first.run_id
    second = await pause(db, one.run, [approval(one.run, "b")])
    assert await db.store(ALICE).get_run(KEY, first.run_id) == second
    kept = await db.approvals().of_run(first.run_id)
    assert [(each.id, each.resolution is None) for each in kept] == [("a", False), ("b", True)]
    assert await db.work().job(first.run_id) == one.job


async def test_a_pause_is_of_one_run_of_its_session(db: Db) -> None:
    other = await at_work(db)
    await paused(db, "a")
    assert await db.store(ALICE).get_run(KEY, other.run_id) == other
    assert list(await db.approvals().of_run(other.run_id)) == []


async def test_a_run_that_went_on_can_pause_in_the_process_that_has_it_now(db: Db) -> None:
    waits = await paused(db)
    going_on = gone_on(waits)
    store = db.store(ALICE)
    assert await store.continue_run(going_on, paused_at_us=waits.updated_at_us, history_runs=0)
    before = await whole(db)
    assert await all_of_a_pause(db, replace(going_on, executor_id="e")) is Saving.REFUSED
    assert await whole(db) == before
    assert await all_of_a_pause(db, going_on) is Saving.SAVED


async def test_of_a_pause_and_a_wish_to_stop_at_once_one_holds(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    for turn in range(20):
        record = await at_work(one, f"{turn}")
        asking = other.store(ALICE).ask_to_cancel(record.session_key, record.run_id, now_us=tick())
        saving, is_asked = await asyncio.gather(all_of_a_pause_named(one, record, turn), asking)
        assert is_asked is (saving is Saving.REFUSED)
        found = await one.store(ALICE).find_run(record.run_id)
        assert found is not None
        assert found.status is (RunStatus.RUNNING if is_asked else RunStatus.PAUSED)
    await asyncio.gather(one.close(), other.close())


async def all_of_a_pause_named(db: Db, record: Any, turn: int) -> Saving:
    """A pause of one turn among many."""
    return await db.store(ALICE).pause_run(
        pausing(record), session_state=None, job=None, approvals=[approval(record, f"{turn}")]
    )


async def test_of_many_pauses_at_once_one_is_stored(new_db: MakeDb) -> None:
    dbs = (new_db(), new_db())
    for turn in range(5):
        record = await at_work(dbs[0], f"{turn}")
        savings = await asyncio.gather(
            *(
                dbs[n % 2]
                .store(ALICE)
                .pause_run(
                    pausing(record),
                    session_state={"by": n},
                    job=None,
                    approvals=[approval(record, f"{turn}.{n}")],
                )
                for n in range(6)
            )
        )
        assert sorted(savings) == [Saving.REFUSED] * 5 + [Saving.SAVED]
        first = savings.index(Saving.SAVED)
        (kept,) = await dbs[0].approvals().of_run(record.run_id)
        assert kept.id == f"{turn}.{first}"
        (found,) = await dbs[0].store(ALICE).find_sessions(f"{turn}")
        assert found.session_state == {"by": first}
    await asyncio.gather(*(db.close() for db in dbs))
