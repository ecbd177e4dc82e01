"""Sessions: made, found, changed and deleted, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from licet.db.base import Db, SessionChanges
from licet.db.records import SessionKey
from licet.errors import NotFoundError
from tests.contract.rows import ADMIN, ALICE, BOB, everything, run, session, stored

KEY = SessionKey("alice", "s")


async def test_a_session_is_read_back_as_it_was_written(db: Db) -> None:
    written = session(
        session_type="team",
        component_id="c",
        user_id="u",
        session_name="Name",
        first_input="Hello",
        session_state={"nested": {"list": [1, 2.5, True, None, "x"]}},
        metadata={"m": 1},
        summary={"text": "short"},
    )
    store = db.store(ALICE)
    assert await store.create_session(written) is True
    assert await store.find_sessions("s") == [written]


async def test_an_owner_has_one_session_of_an_id(db: Db) -> None:
    store, first = db.store(ALICE), session(session_name="first")
    assert await store.create_session(first) is True
    assert await store.create_session(session(session_name="second")) is False
    assert await everything(db) == [first]


async def test_two_owners_may_use_one_id(db: Db) -> None:
    mine, theirs = session(), session(owner="bob")
    assert await db.store(ALICE).create_session(mine) is True
    assert await db.store(BOB).create_session(theirs) is True
    assert await db.store(ALICE).find_sessions("s") == [mine]
    assert await db.store(BOB).find_sessions("s") == [theirs]


async def test_who_sees_all_finds_their_own_first_then_by_owner(db: Db) -> None:
    for owner in ("zoe", "root", "bob", ""):
        await db.store(ADMIN).create_session(session(owner=owner))
    found = await db.store(ADMIN).find_sessions("s")
    assert [s.owner for s in found] == ["root", "", "bob", "zoe"]


async def test_a_session_cannot_be_made_for_somebody_out_of_reach(db: Db) -> None:
    with pytest.raises(NotFoundError):
        await db.store(BOB).create_session(session())
    assert await everything(db) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (SessionChanges(), {}),
        (SessionChanges(session_name="new"), {"session_name": "new"}),
        (SessionChanges(session_name=""), {"session_name": ""}),
        (SessionChanges(session_state={}), {"session_state": {}}),
        (SessionChanges(metadata={"n": 2}), {"metadata": {"n": 2}}),
        (SessionChanges(summary={"t": "x"}), {"summary": {"t": "x"}}),
    ],
)
async def test_what_is_given_changes_and_the_rest_stays(
    db: Db, changes: SessionChanges, expected: dict[str, object]
) -> None:
    before = session(session_name="old", session_state={"a": 1}, metadata={"m": 1}, summary={})
    store = db.store(ALICE)
    await store.create_session(before)
    later = before.updated_at_us + 5
    after = await store.update_session(KEY, changes, updated_at_us=later)
    assert after == replace(before, updated_at_us=later, **expected)  # type: ignore[arg-type] # by name
    assert await everything(db) == [after]


async def test_a_session_that_is_not_there_is_not_changed(db: Db) -> None:
    changes = SessionChanges(session_name="x")
    assert await db.store(ALICE).update_session(KEY, changes, updated_at_us=1) is None
    assert await everything(db) == []


async def test_deleting_takes_the_runs_along(db: Db) -> None:
    store = db.store(ALICE)
    record, kept = await stored(store, run()), await stored(store, run("t"))
    assert await store.delete_sessions([KEY]) == 1
    assert await store.get_run(KEY, record.run_id) is None
    assert await store.get_run(SessionKey("alice", "t"), kept.run_id) == kept


async def test_deleting_counts_what_there_was(db: Db) -> None:
    store = db.store(ALICE)
    for session_id in ("a", "b", "c"):
        await store.create_session(session(session_id))
    keys = [SessionKey("alice", name) for name in ("a", "b", "b", "unknown")]
    assert await store.delete_sessions(keys) == 2
    assert await store.delete_sessions(keys) == 0
    assert await store.delete_sessions([]) == 0
    assert [s.session_id for s in await store.find_sessions("c")] == ["c"]


async def test_deleting_can_be_narrowed_to_a_type(db: Db) -> None:
    store = db.store(ALICE)
    await store.create_session(session("a", session_type="agent"))
    await store.create_session(kept := session("t", session_type="team"))
    keys = [SessionKey("alice", "a"), SessionKey("alice", "t")]
    assert await store.delete_sessions(keys, session_type="agent") == 1
    assert await everything(db) == [kept]


async def test_who_sees_all_deletes_for_several_owners(db: Db) -> None:
    await db.store(ALICE).create_session(session())
    await db.store(BOB).create_session(session(owner="bob"))
    keys = [SessionKey("alice", "s"), SessionKey("bob", "s"), SessionKey("root", "s")]
    assert await db.store(ADMIN).delete_sessions(keys) == 2


async def test_what_a_caller_does_to_its_dictionaries_changes_nothing_stored(db: Db) -> None:
    store, state = db.store(ALICE), {"items": [1]}
    await store.create_session(session(session_state=state))
    state["items"].append(2)
    (found,) = await store.find_sessions("s")
    assert found.session_state == {"items": [1]}
    found.session_state["items"].append(3)
    (again,) = await store.find_sessions("s")
    assert again.session_state == {"items": [1]}
