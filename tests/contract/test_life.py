"""Opening, closing, opening again."""

from __future__ import annotations

import asyncio

from licet.db.base import Db, Store
from licet.db.records import SessionKey
from tests.contract.conftest import MakeDb
from tests.contract.rows import ALICE, run, stored

KEY = SessionKey("alice", "s")


def test_it_is_a_db(new_db: MakeDb) -> None:
    db = new_db()
    assert isinstance(db, Db)
    store: Store = db.store(ALICE)
    assert store is not None


def test_its_id_is_the_same_for_the_same_database(new_db: MakeDb) -> None:
    assert new_db().id == new_db().id
    assert new_db().id in repr(new_db())


async def test_opening_twice_does_nothing_more(db: Db) -> None:
    record = await stored(db.store(ALICE), run())
    await db.open()
    await asyncio.gather(db.open(), db.open())
    assert await db.store(ALICE).get_run(KEY, record.run_id) == record


async def test_a_store_opens_its_db_at_its_first_use(new_db: MakeDb) -> None:
    db = new_db()
    assert await db.store(ALICE).find_sessions("s") == []
    await db.close()


async def test_a_db_that_was_never_opened_can_be_closed(new_db: MakeDb) -> None:
    db = new_db()
    await db.close()
    await db.close()


async def test_what_was_stored_is_there_after_closing_and_opening(new_db: MakeDb) -> None:
    db = new_db()
    record = await stored(db.store(ALICE), run())
    await db.close()
    await db.open()
    assert await db.store(ALICE).get_run(KEY, record.run_id) == record
    await db.close()


async def test_closing_commits_what_is_waiting(new_db: MakeDb) -> None:
    db = new_db()
    await db.open()
    records = [run() for _ in range(40)]
    waiting = [asyncio.create_task(stored(db.store(ALICE), record)) for record in records]
    await asyncio.sleep(0)
    await db.close()
    await asyncio.gather(*waiting)
    for record in records:
        assert await db.store(ALICE).get_run(KEY, record.run_id) == record
    await db.close()
