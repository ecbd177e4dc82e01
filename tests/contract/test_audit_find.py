"""Finding records: which, in what order, and on from where a page ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from licet.db.audit_codec import FILTERS
from licet.db.audit_records import AuditCursor, AuditQuery, AuditRecord
from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from tests.contract.audit_rows import append, forget_audit, places, record, records
from tests.contract.conftest import KINDS
from tests.contract.test_values import BAD_TEXTS
from tests.support.examples import examples

MANY = AuditQuery(limit=1000)


async def seqs(db: Db, **query: Any) -> list[int]:
    return [found.seq for found in await db.audit().find(replace(MANY, **query))]


async def test_an_empty_trail_holds_nothing(db: Db) -> None:
    assert list(await db.audit().find(MANY)) == []


async def test_the_latest_come_first_by_time_then_writer_then_number(db: Db) -> None:
    await append(db, [record(1, time_us=5), record(2, time_us=9), record(3, time_us=9)])
    await append(db, [record(1, writer_id="a", time_us=9), record(2, writer_id="a", time_us=7)])
    latest_first = [(9, "w", 3), (9, "w", 2), (9, "a", 1), (7, "a", 2), (5, "w", 1)]
    assert places(await db.audit().find(MANY)) == latest_first
    oldest_first = await db.audit().find(replace(MANY, oldest_first=True))
    assert places(oldest_first) == latest_first[::-1]


async def test_as_many_as_asked_for_are_found(db: Db) -> None:
    await append(db, records(1, 30))
    assert len(await db.audit().find(AuditQuery())) == 20
    assert await seqs(db, limit=3) == [30, 29, 28]
    assert await seqs(db, limit=3, oldest_first=True) == [1, 2, 3]
    assert await seqs(db, limit=0) == await seqs(db, limit=-1) == []
    assert len(await seqs(db, limit=2**70)) == 30


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"decision": "deny"}, [2]),
        ({"issuer_alias": "other"}, [3]),
        ({"subject": "bob"}, [3, 4]),
        ({"issuer_alias": "main", "subject": "bob"}, [4]),
        ({"action": "agents:read"}, [5]),
        ({"resource_id": "writer"}, [6]),
        ({"request_id": "request-2"}, [2]),
        ({"client": "::1"}, [1]),
        ({"decision": "deny", "client": "::1"}, []),
        ({"subject": ""}, []),
        ({"subject": "BOB"}, []),
        ({"subject": "b%"}, []),
        ({"since_us": 1_005}, [5, 6]),
        ({"until_us": 1_002}, [1, 2]),
        ({"since_us": 1_003, "until_us": 1_004}, [3, 4]),
        ({"since_us": 1_004, "until_us": 1_003}, []),
        ({"since_us": -(2**70), "until_us": 2**70}, [1, 2, 3, 4, 5, 6]),
        ({"subject": "bob", "since_us": 1_004}, [4]),
    ],
    ids=str,
)
async def test_records_are_filtered(db: Db, query: dict[str, Any], expected: list[int]) -> None:
    await append(
        db,
        [
            record(1, client="::1"),
            record(2, decision="deny", status=403),
            record(3, subject="bob", issuer_alias="other"),
            record(4, subject="bob"),
            record(5, action="agents:read"),
            record(6, resource_id="writer"),
        ],
    )
    assert await seqs(db, **query, oldest_first=True) == expected
    assert await seqs(db, **query) == expected[::-1]


@pytest.mark.parametrize("name", ["issuer_alias", "subject", "action", "resource_id", "client"])
async def test_what_is_not_given_is_found_by_no_text(db: Db, name: str) -> None:
    await append(db, [record(1, **{name: None}), record(2, **{name: ""})])
    assert await seqs(db, **{name: ""}) == [2]
    assert await seqs(db) == [2, 1]


@pytest.mark.parametrize("bad", BAD_TEXTS)
async def test_nothing_is_found_by_a_text_that_cannot_be_stored(db: Db, bad: str) -> None:
    await append(db, records(1, 3))
    for name in FILTERS:
        assert await seqs(db, **{name: bad}) == []


@pytest.mark.parametrize("bad", BAD_TEXTS)
async def test_nothing_is_found_around_a_place_that_cannot_be(db: Db, bad: str) -> None:
    await append(db, records(1, 3))
    assert await seqs(db, before=AuditCursor(9_000, bad, 1)) == []
    assert await seqs(db, after=AuditCursor(0, bad, 1)) == []
    assert list(await db.audit().records_of(bad, after_seq=0, limit=9)) == []
    assert list(await db.audit().batches_of(bad, after_number=0, limit=9)) == []


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_pages_hold_each_once_also_among_records_of_one_time(
    db: Db, *, oldest_first: bool
) -> None:
    for name in ("a", "b", "c"):
        await append(db, [record(n, writer_id=name, time_us=n // 3) for n in range(1, 9)])
    query = AuditQuery(limit=5, oldest_first=oldest_first)
    seen: list[AuditCursor] = []
    while page := places(await db.audit().find(query)):
        assert len(page) == min(5, 24 - len(seen))
        seen += page
        last = page[-1]
        query = replace(query, after=last) if oldest_first else replace(query, before=last)
    assert seen == sorted(set(seen), reverse=not oldest_first)
    assert len(seen) == 24


async def test_what_is_new_does_not_move_the_pages_of_who_looks_back(db: Db) -> None:
    await append(db, records(1, 6))
    first = await db.audit().find(AuditQuery(limit=3))
    await append(db, records(7, 9), 2)
    second = await db.audit().find(AuditQuery(limit=3, before=first[-1].cursor))
    assert [r.seq for r in (*first, *second)] == [6, 5, 4, 3, 2, 1]


async def test_who_follows_sees_what_comes_after(db: Db) -> None:
    await append(db, records(1, 3))
    (last,) = await db.audit().find(AuditQuery(limit=1))
    query = replace(MANY, after=last.cursor, oldest_first=True)
    assert list(await db.audit().find(query)) == []
    await append(db, records(4, 6), 2)
    assert [r.seq for r in await db.audit().find(query)] == [4, 5, 6]


async def test_a_place_need_not_be_that_of_a_record(db: Db) -> None:
    await append(db, records(1, 3))
    assert await seqs(db, before=AuditCursor(1_002, "", 0)) == [1]
    assert await seqs(db, after=AuditCursor(1_002, "z", 0)) == [3]
    assert await seqs(db, after=AuditCursor(1_001, "w", 1), before=AuditCursor(1_003, "w", 3)) == [
        2
    ]
    far = AuditCursor(2**70, "w", 2**70)
    assert await seqs(db, before=far) == [3, 2, 1]
    assert await seqs(db, after=far) == []


NAMES = st.sampled_from(["a", "b"])
TIMES = st.integers(0, 6)
PLACES = st.none() | st.builds(AuditCursor, TIMES, NAMES, st.integers(0, 6))
SUBJECTS = st.none() | NAMES
QUERIES = st.builds(
    AuditQuery,
    decision=st.none() | st.sampled_from(["allow", "deny"]),
    issuer_alias=SUBJECTS,
    subject=SUBJECTS,
    since_us=st.none() | TIMES,
    until_us=st.none() | TIMES,
    before=PLACES,
    after=PLACES,
    oldest_first=st.booleans(),
    limit=st.integers(-1, 8),
)
ROWS = st.fixed_dictionaries(
    {
        "time_us": TIMES,
        "decision": st.sampled_from(["allow", "deny"]),
        "issuer_alias": SUBJECTS,
        "subject": SUBJECTS,
    }
)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "in_memory"])
@settings(
    max_examples=examples(0.4),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.dictionaries(NAMES, st.lists(ROWS, min_size=1, max_size=6)),
    queries=st.lists(QUERIES, min_size=1, max_size=8),
)
async def test_every_query_answers_as_in_memory(
    db: Db, rows: dict[str, list[dict[str, Any]]], queries: list[AuditQuery]
) -> None:
    await forget_audit(db)
    model = InMemoryDb()
    for name, values in rows.items():
        of: list[AuditRecord] = [
            record(seq, writer_id=name, **value) for seq, value in enumerate(values, 1)
        ]
        await append(db, of)
        await append(model, of)
    for query in queries:
        assert list(await db.audit().find(query)) == list(await model.audit().find(query)), query
