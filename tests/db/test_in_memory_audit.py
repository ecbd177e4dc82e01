from __future__ import annotations

import pytest

from licet.db import in_memory_audit as module
from licet.db.audit_records import AuditQuery
from licet.db.in_memory import InMemoryDb
from tests.contract.audit_rows import (
    all_batches,
    all_records,
    all_writers,
    append,
    record,
    records,
    writer,
)


async def test_the_oldest_records_go_when_there_are_too_many() -> None:
    db = InMemoryDb()
    await append(db, records(1, 6_000))
    await append(db, records(1, 6_000, writer_id="other"))
    assert module.MAX_RECORDS == 10_000
    assert [r.seq for r in await all_records(db)] == list(range(2_001, 6_001))
    assert len(await all_records(db, "other")) == 6_000
    assert len(await db.audit().find(AuditQuery(limit=20_000))) == 10_000


async def test_the_oldest_are_those_that_came_first_whatever_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_RECORDS", 2)
    db = InMemoryDb()
    await append(db, [record(1, time_us=9), record(2, time_us=5), record(3, time_us=1)])
    assert [r.seq for r in await all_records(db)] == [2, 3]


async def test_a_writer_whose_records_are_all_gone_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_RECORDS", 2)
    db = InMemoryDb()
    await append(db, records(1, 2))
    await append(db, records(1, 2, writer_id="other"))
    assert await all_records(db) == []
    assert [r.seq for r in await all_records(db, "other")] == [1, 2]
    await append(db, records(3, 3), 2)
    assert [r.seq for r in await all_records(db)] == [3]


async def test_a_batch_goes_with_the_last_of_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECORDS", 4)
    db = InMemoryDb()
    await db.audit().register_writer(writer())
    first, _ = await append(db, records(1, 3))
    second, _ = await append(db, records(4, 6), 2)
    assert await all_batches(db) == [first, second]
    third, of = await append(db, records(7, 9), 3)
    assert await all_batches(db) == [second, third]
    assert [r.seq for r in await all_records(db)] == [6, 7, 8, 9]
    # Of what is left, nothing is written twice.
    await db.audit().append(third, of)
    assert [r.seq for r in await all_records(db)] == [6, 7, 8, 9]
    assert await all_writers(db) == [writer()]


async def test_of_a_batch_with_more_than_all_the_last_records_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_RECORDS", 4)
    db = InMemoryDb()
    given, _ = await append(db, records(1, 9))
    assert [r.seq for r in await all_records(db)] == [6, 7, 8, 9]
    assert await all_batches(db) == [given]
