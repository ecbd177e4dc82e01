"""Registrations of writers: one after the other, also when many register at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from licet.db.base import Db
from licet.errors import ConflictError
from tests.contract.audit_rows import all_writers, writer
from tests.contract.conftest import MakeDb


async def test_without_a_writer_there_is_no_last_one(db: Db) -> None:
    assert await db.audit().last_writer() is None
    assert await all_writers(db) == []


@pytest.mark.parametrize("signature", ["signed", None])
async def test_a_registration_comes_back_as_it_was(db: Db, signature: str | None) -> None:
    given = writer(key_id=signature and "key", signature=signature)
    assert await db.audit().register_writer(given) is True
    assert await db.audit().last_writer() == given


async def test_the_last_one_has_the_highest_number(db: Db) -> None:
    for number in (1, 2, 10, 9):
        assert await db.audit().register_writer(writer(number)) is True
    assert await db.audit().last_writer() == writer(10)


async def test_a_number_that_is_taken_is_refused_and_nothing_is_written(db: Db) -> None:
    await db.audit().register_writer(writer())
    assert await db.audit().register_writer(writer(id="other", os_id="other")) is False
    assert await all_writers(db) == [writer()]


async def test_a_registration_whose_answer_got_lost_is_there_and_not_written_twice(db: Db) -> None:
    await db.audit().register_writer(writer())
    assert await db.audit().register_writer(writer()) is False
    assert await db.audit().last_writer() == writer()
    assert await all_writers(db) == [writer()]


async def test_a_writer_has_one_number(db: Db) -> None:
    await db.audit().register_writer(writer())
    with pytest.raises(ConflictError, match="writer-1"):
        await db.audit().register_writer(replace(writer(2), id="writer-1"))
    assert await all_writers(db) == [writer()]


async def test_registrations_are_read_in_their_order_page_by_page(db: Db) -> None:
    for number in (3, 1, 2, 11):
        await db.audit().register_writer(writer(number))
    audit = db.audit()
    assert list(await audit.writers(after_number=0, limit=2)) == [writer(1), writer(2)]
    assert list(await audit.writers(after_number=2, limit=2)) == [writer(3), writer(11)]
    for after, limit in ((11, 2), (0, 0), (0, -1), (2**70, 5)):
        assert list(await audit.writers(after_number=after, limit=limit)) == []
    assert len(await audit.writers(after_number=-(2**70), limit=2**70)) == 4


async def test_of_many_that_register_one_number_at_once_exactly_one_does(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    for number in range(1, 11):
        registering = (
            db.audit().register_writer(writer(number, id=f"{number} {name} {n}"))
            for n in range(6)
            for name, db in (("one", one), ("other", other))
        )
        assert sorted(await asyncio.gather(*registering)) == [False] * 11 + [True]
    assert [found.number for found in await all_writers(other)] == list(range(1, 11))
    await asyncio.gather(one.close(), other.close())


async def test_all_who_take_the_next_number_until_they_have_one_get_one(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()

    async def register(db: Db, name: str) -> None:
        while True:
            last = await db.audit().last_writer()
            number = 1 if last is None else last.number + 1
            if await db.audit().register_writer(writer(number, id=name)):
                return

    await asyncio.gather(
        *(register(db, f"{n}") for n, db in enumerate((one, other) * 5)),
    )
    assert [found.number for found in await all_writers(one)] == list(range(1, 11))
    await asyncio.gather(one.close(), other.close())
