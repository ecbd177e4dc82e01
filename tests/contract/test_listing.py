"""Lists of sessions: whose, which, in what order, which page."""

from __future__ import annotations

from typing import Literal

import pytest

from licet.db.base import Access, Db
from licet.db.records import SessionQuery
from tests.contract.rows import ADMIN, ALICE, BOB, session

Sort = Literal["created_at", "updated_at", "session_name"]


async def ids(db: Db, query: SessionQuery, access: Access = ALICE) -> str:
    page = await db.store(access).list_sessions(query)
    found = " ".join(s.session_id for s in page.sessions)
    assert page.total_count == len(page.sessions)
    return found


async def test_an_empty_list_has_no_sessions(db: Db) -> None:
    page = await db.store(ALICE).list_sessions(SessionQuery())
    assert (page.sessions, page.total_count) == ((), 0)


@pytest.mark.parametrize(
    ("sort_by", "expected"),
    [("created_at", "a b c"), ("updated_at", "b c a"), ("session_name", "c a b")],
)
@pytest.mark.parametrize("descending", [False, True])
async def test_lists_are_sorted(db: Db, sort_by: Sort, expected: str, *, descending: bool) -> None:
    store = db.store(ALICE)
    for session_id, created, updated, name in (
        ("b", 2, 10, "zebra"),
        ("c", 3, 11, None),
        ("a", 1, 12, "Apple"),
    ):
        await store.create_session(
            session(session_id, created_at_us=created, updated_at_us=updated, session_name=name)
        )
    wanted = expected[::-1] if descending else expected
    assert await ids(db, SessionQuery(sort_by=sort_by, descending=descending)) == wanted


async def test_the_newest_comes_first_unless_told_otherwise(db: Db) -> None:
    for session_id, at in (("a", 1), ("b", 2)):
        await db.store(ALICE).create_session(session(session_id, at=at))
    assert await ids(db, SessionQuery()) == "b a"


@pytest.mark.parametrize("sort_by", ["created_at", "updated_at", "session_name"])
async def test_pages_hold_every_session_once_also_when_all_are_equal(db: Db, sort_by: Sort) -> None:
    for number in range(7):
        await db.store(ALICE).create_session(session(f"{number}", at=5))
    seen: list[str] = []
    for number in range(1, 5):
        query = SessionQuery(sort_by=sort_by, page=number, limit=3)
        page = await db.store(ALICE).list_sessions(query)
        assert page.total_count == 7
        seen += [s.session_id for s in page.sessions]
        assert len(page.sessions) == (3, 3, 1, 0)[number - 1]
    assert sorted(seen) == [str(n) for n in range(7)]


@pytest.mark.parametrize(("page", "limit"), [(2, 20), (10**30, 10), (10**18, 10**18), (1, 0)])
async def test_a_page_past_the_end_is_empty_and_knows_the_count(
    db: Db, page: int, limit: int
) -> None:
    await db.store(ALICE).create_session(session())
    found = await db.store(ALICE).list_sessions(SessionQuery(page=page, limit=limit))
    assert (found.sessions, found.total_count) == ((), 1)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (SessionQuery(session_type="team"), "b"),
        (SessionQuery(component_id="x"), "a b"),
        (SessionQuery(user_id="u2"), "b c"),
        (SessionQuery(session_ids=frozenset({"a", "c", "unknown"})), "a c"),
        (SessionQuery(session_ids=frozenset()), ""),
        (SessionQuery(session_ids=frozenset({"a\0", "\ud800", "b"})), "b"),
        (SessionQuery(session_type="agent", component_id="x", user_id="u1"), "a"),
        (SessionQuery(session_type="agent", component_id="x", user_id="u2"), ""),
        (SessionQuery(component_id="x\0"), ""),
        (SessionQuery(session_name="\ud800"), ""),
    ],
)
async def test_lists_are_filtered(db: Db, query: SessionQuery, expected: str) -> None:
    store = db.store(ALICE)
    await store.create_session(session("c", component_id="y", user_id="u2"))
    await store.create_session(session("b", component_id="x", user_id="u2", session_type="team"))
    await store.create_session(session("a", component_id="x", user_id="u1"))
    assert await ids(db, query) == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("PORT", "a"),
        ("report", "a"),
        ("%", "b"),
        ("0% _", "b"),
        ("_", "b"),
        ("/", "c"),
        ("\\", "c"),
        ("é", "d"),
        ("É", "d"),
        ("'; --", ""),
        ("", "d c b a"),
    ],
)
async def test_a_part_of_the_name_is_enough_in_any_case_and_is_no_pattern(
    db: Db, part: str, expected: str
) -> None:
    for session_id, name in (
        ("a", "Quarterly Report"),
        ("b", "100% _sure"),
        ("c", "back\\slash/es"),
        ("d", "CAFÉ"),
        ("e", None),
    ):
        await db.store(ALICE).create_session(session(session_id, session_name=name))
    assert await ids(db, SessionQuery(session_name=part)) == expected


async def test_a_list_holds_what_the_access_reaches(db: Db) -> None:
    await db.store(ALICE).create_session(session("a"))
    await db.store(BOB).create_session(session("b", owner="bob"))
    await db.store(Access("")).create_session(session("n", owner=""))
    assert await ids(db, SessionQuery(), ALICE) == "a"
    assert await ids(db, SessionQuery(), BOB) == "b"
    assert await ids(db, SessionQuery(), Access("")) == "n"
    assert await ids(db, SessionQuery(), ADMIN) == "n b a"
