"""What users read keeps nobody waiting who follows changes, or who is asked who somebody is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from licet.db.sql_db import SqlDb
from licet.db.trust_records import TRUST_TOPIC
from licet.errors import StorageError
from tests.contract.trust_rows import account, revocation
from tests.db.conftest import DEADLINE_SECONDS, db_of
from tests.support.postgres import EmbeddedPostgres, connected

KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'licet'"

Read = Callable[[Any], Awaitable[Any]]


@pytest.fixture
async def db(url: str) -> AsyncIterator[SqlDb]:
    db = db_of(url)
    await db.open()
    yield db
    await db.close()


@asynccontextmanager
async def slow(read: Read) -> AsyncIterator[None]:
    """Many queries of one kind that take as long as the block."""
    begun, end = threading.Event(), threading.Event()

    def query(_connection: Connection) -> None:
        begun.set()
        end.wait(DEADLINE_SECONDS)

    asked = [asyncio.ensure_future(read(query)) for _ in range(20)]
    try:
        assert await asyncio.to_thread(begun.wait, DEADLINE_SECONDS)
        yield
    finally:
        end.set()
        await asyncio.gather(*asked)


async def answers(wanted: Awaitable[Any]) -> Any:
    async with asyncio.timeout(DEADLINE_SECONDS / 2):
        return await wanted


async def test_slow_reads_of_users_keep_no_revocation_waiting(db: SqlDb) -> None:
    trust = db.trust()
    async with slow(db.read):
        await trust.add_revocations([revocation("t")])
        number = await answers(db.watch(TRUST_TOPIC, after=0, timeout_seconds=1))
        found = await answers(trust.changes(after=number - 1))
        assert [each.value for each in found.revocations] == ["t"]


async def test_slow_reads_of_users_keep_no_service_account_out(db: SqlDb) -> None:
    made = account(id="a")
    await db.trust().create_service_account(made)
    async with slow(db.read):
        assert made.token_digest is not None
        found = await answers(db.trust().find_service_account(made.token_digest))
        assert found is not None
        assert await answers(db.trust().get_service_account("a")) == found


async def test_a_flood_of_unknown_tokens_keeps_no_revocation_waiting(db: SqlDb) -> None:
    async with slow(db.look_up):
        number = await answers(db.watch(TRUST_TOPIC, after=-1, timeout_seconds=0))
        assert (await answers(db.trust().changes(after=0))).number == number


async def test_each_read_of_trust_has_a_connection_that_is_kept(db: SqlDb) -> None:
    def connection_of(connection: Connection) -> int:
        return id(connection.connection.dbapi_connection)

    following = {await db.follow(connection_of) for _ in range(5)}
    looking_up = {await db.look_up(connection_of) for _ in range(5)}
    assert (len(following), len(looking_up), len(following & looking_up)) == (1, 1, 0)


async def test_a_connection_that_broke_is_made_anew_and_that_is_told(
    postgres_url: str, postgres_server: EmbeddedPostgres
) -> None:
    """The reading succeeds: who follows changes would not hear of a failover otherwise."""
    db = db_of(postgres_url)
    assert db.trust().reconnects == 0
    await db.trust().add_revocations([revocation("t")])
    for _ in range(3):
        number = await db.watch(TRUST_TOPIC, after=0, timeout_seconds=0)
        assert (await db.trust().changes(after=0)).number == number
    assert db.trust().reconnects == 0
    with connected(postgres_server, "postgres") as connection:
        assert connection.execute(KILL).fetchall()
    assert await db.watch(TRUST_TOPIC, after=0, timeout_seconds=0) == number
    assert db.trust().reconnects == 1
    assert (await db.trust().everything()).number == number
    assert db.trust().reconnects == 1
    await db.close()


async def test_what_is_read_at_once_keeps_no_change_waiting(db: SqlDb) -> None:
    await db.trust().add_revocations([revocation("t")])
    async with slow(db.look_up):
        everything = asyncio.create_task(db.trust().everything())
        found = await answers(db.trust().changes(after=0))
        assert not everything.done()
    assert await answers(everything) == found


async def test_a_db_that_is_closed_meanwhile_says_so(db: SqlDb) -> None:
    parts = db._open_parts
    assert parts is not None
    await db.follow(lambda _connection: None)
    await db.close()
    with pytest.raises(StorageError, match="is closed"):
        await parts.following.read(lambda _connection: None)
