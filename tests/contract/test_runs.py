"""Runs: begun before any model is called, saved as far as they got, read back as they were."""

from __future__ import annotations

from dataclasses import replace

import pytest

from licet.db.base import Db
from licet.db.records import RunQuery, RunStatus, Saving, SessionKey
from licet.errors import ConflictError, InvalidInputError, NotFoundError
from tests.contract.rows import ADMIN, ALICE, BOB, everything, run, session, stored

KEY = SessionKey("alice", "s")


async def test_a_first_run_makes_its_session(db: Db) -> None:
    store, first = db.store(ALICE), session(session_state={"cart": [1]}, user_id="alice@x")
    begun = await store.begin_run(first, run(), history_runs=3)
    assert begun.session == first
    assert begun.history == ()
    assert await store.find_sessions("s") == [first]


async def test_a_later_run_leaves_the_session_as_it_is(db: Db) -> None:
    store, first = db.store(ALICE), session(session_name="first", session_state={"a": 1})
    await store.begin_run(first, run(), history_runs=0)
    other = session(session_name="second", session_state={"b": 2}, component_id="else")
    begun = await store.begin_run(other, run(), history_runs=0)
    assert begun.session == first
    assert await store.find_sessions("s") == [first]


async def test_a_run_that_was_begun_is_there_for_another_handle(db: Db) -> None:
    record = await stored(db.store(ALICE), run(user_id="u", parent_run_id="p", total_tokens=7))
    assert await db.store(ALICE).get_run(KEY, record.run_id) == record


async def test_a_run_id_cannot_be_begun_twice(db: Db) -> None:
    store = db.store(ALICE)
    record = await stored(store, run())
    with pytest.raises(ConflictError, match=record.run_id):
        await store.begin_run(session("other"), replace(record, session_id="other"), history_runs=0)
    assert await store.find_sessions("other") == []
    assert await store.get_run(KEY, record.run_id) == record


async def test_a_run_belongs_to_the_session_that_it_is_begun_with(db: Db) -> None:
    with pytest.raises(InvalidInputError):
        await db.store(ADMIN).begin_run(session("s"), run("t"), history_runs=0)
    with pytest.raises(InvalidInputError):
        await db.store(ADMIN).begin_run(session("s"), run("s", owner="bob"), history_runs=0)
    assert await everything(db) == []


async def test_a_run_cannot_be_begun_for_somebody_out_of_reach(db: Db) -> None:
    with pytest.raises(NotFoundError):
        await db.store(BOB).begin_run(session(), run(), history_runs=0)
    assert await everything(db) == []


async def test_an_admin_begins_a_run_for_its_owner(db: Db) -> None:
    record = await stored(db.store(ADMIN), run())
    assert await db.store(ALICE).get_run(KEY, record.run_id) == record


async def test_history_is_the_last_completed_runs_oldest_first(db: Db) -> None:
    store = db.store(ALICE)
    for number in range(5):
        await stored(store, run(status=RunStatus.COMPLETED, body=b"%d" % number))
    for limit, expected in ((0, ()), (1, (b"4",)), (3, (b"2", b"3", b"4")), (9, 5)):
        begun = await store.begin_run(session(), run(), history_runs=limit)
        assert begun.history == expected or len(begun.history) == expected


@pytest.mark.parametrize("status", [s for s in RunStatus if s is not RunStatus.COMPLETED])
async def test_history_leaves_out_runs_that_did_not_complete(db: Db, status: RunStatus) -> None:
    store = db.store(ALICE)
    await stored(store, run(status=status))
    begun = await store.begin_run(session(), run(), history_runs=9)
    assert begun.history == ()


async def test_history_is_of_the_same_component_session_and_owner(db: Db) -> None:
    store = db.store(ALICE)
    await stored(store, run(status=RunStatus.COMPLETED, component_id="other"))
    await stored(store, run("t", status=RunStatus.COMPLETED))
    await stored(db.store(BOB), run(owner="bob", status=RunStatus.COMPLETED))
    begun = await store.begin_run(session(), run(), history_runs=9)
    assert begun.history == ()


async def test_saving_writes_what_was_reached_and_nothing_else(db: Db) -> None:
    store = db.store(ALICE)
    record = await stored(store, run(user_id="u", parent_run_id="p"))
    reached = replace(
        record,
        status=RunStatus.COMPLETED,
        body=b'"done"',
        total_tokens=12,
        updated_at_us=record.updated_at_us + 10,
    )
    meddled = replace(reached, user_id="x", parent_run_id="y", component_id="z", created_at_us=1)
    assert await store.save_run(meddled, session_state=None) is Saving.SAVED
    assert await store.get_run(KEY, record.run_id) == reached


async def test_saving_moves_the_session_forward_never_back(db: Db) -> None:
    store = db.store(ALICE)
    record = await stored(store, run(at=500), at=500)
    for at, expected in ((900, 900), (700, 900)):
        await store.save_run(replace(record, updated_at_us=at), session_state=None)
        (found,) = await store.find_sessions("s")
        assert (found.created_at_us, found.updated_at_us) == (500, expected)


async def test_saving_writes_the_state_only_if_it_is_given(db: Db) -> None:
    store = db.store(ALICE)
    record = await stored(store, run(), session_state={"a": 1})
    for given, expected in ((None, {"a": 1}), ({"b": [None]}, {"b": [None]}), ({}, {})):
        await store.save_run(record, session_state=given)
        (found,) = await store.find_sessions("s")
        assert found.session_state == expected


async def test_a_run_that_was_deleted_while_it_ran_stays_deleted(db: Db) -> None:
    store = db.store(ALICE)
    record = await stored(store, run())
    assert await store.delete_sessions([KEY]) == 1
    assert await store.save_run(record, session_state={"a": 1}) is Saving.ABSENT
    assert await everything(db) == []


async def test_a_deleted_run_does_not_write_into_a_new_session_of_that_id(db: Db) -> None:
    store, again = db.store(ALICE), session(session_state={"new": True})
    record = await stored(store, run())
    await store.delete_sessions([KEY])
    await store.create_session(again)
    assert await store.save_run(record, session_state={"old": True}) is Saving.ABSENT
    assert await everything(db) == [again]


async def test_an_unknown_run_is_not_saved(db: Db) -> None:
    store = db.store(ALICE)
    await store.create_session(kept := session())
    assert await store.save_run(run(), session_state={"a": 1}) is Saving.ABSENT
    assert await everything(db) == [kept]


async def test_a_run_is_found_in_its_own_session_only(db: Db) -> None:
    store = db.store(ALICE)
    record = await stored(store, run())
    await stored(store, run("t"))
    assert await store.get_run(SessionKey("alice", "t"), record.run_id) is None
    assert await store.get_run(KEY, "unknown") is None


async def test_runs_are_listed_oldest_first(db: Db) -> None:
    store = db.store(ALICE)
    for at in (30, 10, 20):
        await stored(store, run(at=at))
    listed = await store.list_runs(KEY, RunQuery())
    assert [record.created_at_us for record in listed] == [10, 20, 30]


async def test_runs_of_one_moment_are_listed_in_the_order_of_their_ids(db: Db) -> None:
    store = db.store(ALICE)
    for run_id in ("b", "c", "a"):
        await stored(store, run(run_id=run_id, at=10))
    assert [r.run_id for r in await store.list_runs(KEY, RunQuery())] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (RunQuery(), "abcd"),
        (RunQuery(component_id="agent"), "abd"),
        (RunQuery(component_id="none"), ""),
        (RunQuery(statuses=(RunStatus.COMPLETED,)), "bc"),
        (RunQuery(statuses=(RunStatus.COMPLETED, RunStatus.ERROR)), "bcd"),
        (RunQuery(statuses=(RunStatus.PAUSED,)), ""),
        (RunQuery(created_from_us=20), "bcd"),
        (RunQuery(created_to_us=20), "ab"),
        (RunQuery(created_from_us=20, created_to_us=30), "bc"),
        (RunQuery(created_from_us=31, created_to_us=39), ""),
        (RunQuery(created_from_us=-(10**30), created_to_us=10**30), "abcd"),
        (RunQuery(component_id="agent", statuses=(RunStatus.COMPLETED,), created_to_us=20), "b"),
    ],
)
async def test_runs_are_filtered(db: Db, query: RunQuery, expected: str) -> None:
    store = db.store(ALICE)
    await stored(store, run(run_id="a", at=10))
    await stored(store, run(run_id="b", at=20, status=RunStatus.COMPLETED))
    await stored(store, run(run_id="c", at=30, status=RunStatus.COMPLETED, component_id="other"))
    await stored(store, run(run_id="d", at=40, status=RunStatus.ERROR))
    assert "".join(r.run_id for r in await store.list_runs(KEY, query)) == expected


async def test_tokens_are_summed_over_all_runs_of_the_session(db: Db) -> None:
    store = db.store(ALICE)
    assert await store.total_tokens(KEY) == 0
    for session_id, tokens in (("s", 3), ("s", 2**40), ("t", 100)):
        await stored(store, run(session_id, total_tokens=tokens))
    assert await store.total_tokens(KEY) == 3 + 2**40
