"""Batches: written wholly or not at all, once and in their order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from licet.db.audit_records import AuditQuery, AuditRecord
from licet.db.base import Db
from licet.errors import ConflictError, InvalidInputError
from tests.contract.audit_rows import (
    all_batches,
    all_records,
    append,
    batch,
    digest,
    record,
    records,
)
from tests.contract.conftest import MakeDb
from tests.contract.rows import ALICE, run, stored


async def test_a_batch_comes_back_with_its_records(db: Db) -> None:
    given, of = await append(db, records(1, 3), signature=None)
    assert await all_batches(db) == [given]
    assert await all_records(db) == of


async def test_two_thousand_records_are_one_batch(db: Db) -> None:
    given, of = await append(db, records(1, 2000))
    assert await all_records(db) == of
    assert await all_batches(db) == [given]


async def test_a_tuple_of_records_is_as_good_as_a_list(db: Db) -> None:
    given = tuple(records(1, 3))
    await db.audit().append(batch(given), given)
    assert tuple(await all_records(db)) == given


async def test_batches_of_one_writer_follow_each_other(db: Db) -> None:
    first, one = await append(db, records(1, 3))
    second, two = await append(db, records(4, 4), 2)
    assert await all_batches(db) == [first, second]
    assert await all_records(db) == [*one, *two]


async def test_writers_do_not_meet(db: Db) -> None:
    await append(db, mine := records(1, 3))
    await append(db, others := records(1, 2, writer_id="other"))
    assert await all_records(db) == mine
    assert await all_records(db, "other") == others
    assert len(await all_batches(db)) == len(await all_batches(db, "other")) == 1
    assert await all_records(db, "nobody") == []
    assert await all_batches(db, "nobody") == []


async def test_the_same_batch_once_more_writes_nothing(db: Db) -> None:
    given, of = await append(db, records(1, 3))
    await append(db, records(4, 5), 2)
    for _ in range(2):
        await db.audit().append(given, of)
    assert len(await all_batches(db)) == 2
    assert [r.seq for r in await all_records(db)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "change",
    [
        {"hash": digest("other")},
        {"created_at_us": 1},
        {"signature": "other"},
        {"signature": None},
        {"last_seq": 2},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_another_batch_of_that_number_is_refused(db: Db, change: dict[str, Any]) -> None:
    given, of = await append(db, records(1, 3))
    other = replace(given, **change)
    others: list[AuditRecord] = list(of[: other.last_seq])
    others[-1] = msgspec.structs.replace(others[-1], hash=other.hash)
    with pytest.raises(ConflictError, match="another batch of the number 1"):
        await db.audit().append(other, others)
    assert await all_batches(db) == [given]
    assert await all_records(db) == of


async def test_another_batch_of_that_number_is_refused_with_records_of_its_own(db: Db) -> None:
    given, of = await append(db, records(1, 3))
    with pytest.raises(ConflictError):
        await append(db, records(4, 6), 1)
    assert await all_batches(db) == [given]
    assert await all_records(db) == of


@pytest.mark.parametrize(("first", "last"), [(1, 3), (3, 5), (0, 1), (2, 2)])
async def test_a_batch_with_records_that_are_there_is_refused(
    db: Db, first: int, last: int
) -> None:
    given, of = await append(db, records(1, 3))
    with pytest.raises(ConflictError, match="other records"):
        await append(db, records(first, last), 2)
    assert await all_batches(db) == [given]
    assert await all_records(db) == of


@pytest.mark.parametrize(
    "given",
    [
        [],
        records(1, 2),
        records(1, 4),
        records(2, 4),
        [record(1), record(3), record(2)],
        [record(1), record(2), record(2)],
        [record(1), record(2, writer_id="other"), record(3)],
        records(1, 3, writer_id="other"),
        [*records(1, 2), record(3, hash=digest("other"))],
    ],
    ids=["none", "few", "many", "others", "order", "twice", "mixed", "writer", "hash"],
)
async def test_records_that_are_not_the_batchs_are_refused(
    db: Db, given: list[AuditRecord]
) -> None:
    with pytest.raises(InvalidInputError, match="records"):
        await db.audit().append(batch(records(1, 3)), given)
    assert await all_batches(db) == []
    assert await all_records(db) == []


async def test_a_batch_of_far_more_records_than_it_has_is_refused_at_once(db: Db) -> None:
    with pytest.raises(InvalidInputError):
        await db.audit().append(batch(records(1, 3), last_seq=2**62), records(1, 3))


async def test_chains_are_read_in_their_order_page_by_page(db: Db) -> None:
    for number in range(1, 8):
        await append(db, records(2 * number - 1, 2 * number), number)
    audit = db.audit()
    found = await audit.records_of("w", after_seq=5, limit=4)
    assert [r.seq for r in found] == [6, 7, 8, 9]
    assert [b.number for b in await audit.batches_of("w", after_number=2, limit=3)] == [3, 4, 5]
    for after, limit in ((14, 5), (0, 0), (0, -1), (2**70, 5)):
        assert list(await audit.records_of("w", after_seq=after, limit=limit)) == []
        assert list(await audit.batches_of("w", after_number=after, limit=limit)) == []
    assert len(await audit.records_of("w", after_seq=-(2**70), limit=2**70)) == 14
    assert len(await audit.batches_of("w", after_number=-(2**70), limit=2**70)) == 7


async def test_a_batch_that_two_processes_append_at_once_is_there_once(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    for number in range(1, 11):
        of = records(3 * number - 2, 3 * number)
        given = batch(of, number)
        await asyncio.gather(*(db.audit().append(given, of) for db in (one, other) * 3))
    assert [r.seq for r in await all_records(one)] == list(range(1, 31))
    assert [b.number for b in await all_batches(other)] == list(range(1, 11))
    await asyncio.gather(one.close(), other.close())


async def test_of_different_batches_of_one_number_one_is_there_wholly(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    for number in range(1, 11):
        of = records(3 * number - 2, 3 * number)
        given = [batch(of, number, signature=f"{n}") for n in range(6)]
        outcomes = await asyncio.gather(
            *(
                db.audit().append(each, of)
                for each, db in zip(given, (one, other) * 3, strict=True)
            ),
            return_exceptions=True,
        )
        assert [o is None for o in outcomes].count(True) == 1
        assert [isinstance(o, ConflictError) for o in outcomes].count(True) == 5
        (found,) = await one.audit().batches_of("w", after_number=number - 1, limit=9)
        assert found == given[outcomes.index(None)]
    assert [r.seq for r in await all_records(one)] == list(range(1, 31))
    await asyncio.gather(one.close(), other.close())


async def test_many_writers_append_beside_runs_and_each_other(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()

    async def write(db: Db, name: str) -> None:
        for number in range(1, 6):
            await append(db, records(2 * number - 1, 2 * number, writer_id=name), number)

    names = [f"{n}" for n in range(8)]
    await asyncio.gather(
        *(write(db, name) for db, name in zip((one, other) * 4, names, strict=True)),
        *(stored(db.store(ALICE), run()) for _ in range(20) for db in (one, other)),
    )
    for name in names:
        assert [r.seq for r in await all_records(other, name)] == list(range(1, 11))
    assert len(await one.audit().find(AuditQuery(limit=100))) == 80
    await asyncio.gather(one.close(), other.close())
