from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from licet.db.postgres import PostgresDb
from licet.db.postgres_backend import PostgresBackend
from licet.db.postgres_listener import PostgresListener
from licet.db.postgres_url import parse_postgres_url
from licet.db.trust_records import TRUST_TOPIC
from licet.errors import StorageError
from tests.contract.trust_rows import account, number_of, revocation
from tests.contract.watches import watching
from tests.db.conftest import wait_until
from tests.support.postgres import ROLE, EmbeddedPostgres, connected, reachable_folder

NEVER_SECONDS = 3600.0
LISTENS = "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN licet_changes'"


def pids(server: EmbeddedPostgres) -> list[int]:
    with connected(server, "postgres") as connection:
        return sorted(row[0] for row in connection.execute(LISTENS).fetchall())


def threads_called(name: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if name in thread.name]


def terminate(server: EmbeddedPostgres) -> None:
    with connected(server, "postgres") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE query = 'LISTEN licet_changes'"
        )


async def until_listening(server: EmbeddedPostgres, *, besides: list[int]) -> None:
    await asyncio.to_thread(
        wait_until,
        lambda: len(set(pids(server)) - set(besides)) == 1,
        what="somebody listens",
    )


def deafen_polling(db: PostgresDb) -> None:
    """From here on only the listener can wake who waits."""
    assert isinstance(db._backend, PostgresBackend)
    db._backend.poll_seconds = NEVER_SECONDS


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[PostgresDb]:
    db = PostgresDb(postgres_url)
    await db.open()
    yield db
    await db.close()


@pytest.fixture
async def other(postgres_url: str, db: PostgresDb) -> AsyncIterator[PostgresDb]:
    """Makes the changes, on the same database."""
    other = PostgresDb(postgres_url)
    await other.trust().add_revocations([revocation("first")])
    yield other
    await other.close()


async def seen_within(db: PostgresDb, other: PostgresDb, name: str) -> float:
    """The seconds from a change to its being seen."""
    number = await number_of(other)
    task = await watching(db, number)
    # The first reading is over: what wakes from now on is the change alone.
    await number_of(db)
    await other.trust().add_revocations([revocation(name)])
    began = time.monotonic()
    assert await task == number + 1
    return time.monotonic() - began


async def test_a_change_is_heard_of_at_once(
    db: PostgresDb, other: PostgresDb, postgres_server: EmbeddedPostgres
) -> None:
    deafen_polling(db)
    assert await db.watch(TRUST_TOPIC, after=0, timeout_seconds=0) == 1
    await until_listening(postgres_server, besides=[])
    for turn in range(5):
        assert await seen_within(db, other, f"{turn}") < 1


async def test_a_change_before_the_listener_was_there_is_not_missed(
    db: PostgresDb, other: PostgresDb
) -> None:
    deafen_polling(db)
    # The listener begins to connect with this watch.
    assert await seen_within(db, other, "early") < 10


async def test_nobody_listens_before_somebody_watches(
    db: PostgresDb, postgres_server: EmbeddedPostgres
) -> None:
    await db.trust().add_revocations([revocation()])
    assert pids(postgres_server) == []


async def test_it_listens_again_after_its_connection_was_terminated(
    db: PostgresDb,
    other: PostgresDb,
    postgres_server: EmbeddedPostgres,
    caplog: pytest.LogCaptureFixture,
) -> None:
    deafen_polling(db)
    await db.watch(TRUST_TOPIC, after=0, timeout_seconds=0)
    await until_listening(postgres_server, besides=[])
    before = pids(postgres_server)
    with caplog.at_level(logging.WARNING):
        terminate(postgres_server)
        await until_listening(postgres_server, besides=before)
    assert await seen_within(db, other, "again") < 1
    (record,) = caplog.records
    assert record.getMessage().startswith(f"database {db.id!r}: changes are looked for")
    assert "\n" not in record.getMessage()
    assert postgres_server.parameters(ROLE)["password"] not in caplog.text


async def test_a_change_while_it_did_not_listen_is_seen_when_it_does_again(
    db: PostgresDb, other: PostgresDb, postgres_server: EmbeddedPostgres
) -> None:
    deafen_polling(db)
    await db.watch(TRUST_TOPIC, after=0, timeout_seconds=0)
    await until_listening(postgres_server, besides=[])
    number = await number_of(other)
    task = await watching(db, number)
    await number_of(db)
    terminate(postgres_server)
    await other.trust().add_revocations([revocation("meanwhile")])
    assert await asyncio.wait_for(task, 30) == number + 1


async def test_while_it_cannot_listen_changes_are_still_seen_within_a_second(
    db: PostgresDb,
    other: PostgresDb,
    postgres_server: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend, kept_out = db._backend, threading.Event()
    assert isinstance(backend, PostgresBackend)

    def connect() -> psycopg.Connection[tuple[Any, ...]]:
        if kept_out.is_set():
            raise StorageError("the listener is kept out")
        return backend._connection(autocommit=True)

    def listen(heard: Callable[[str | None], None]) -> PostgresListener:
        return PostgresListener(connect, heard, name=db.id)

    monkeypatch.setattr(backend, "listen", listen)
    await db.watch(TRUST_TOPIC, after=0, timeout_seconds=0)
    await until_listening(postgres_server, besides=[])
    kept_out.set()
    terminate(postgres_server)
    for turn in range(3):
        assert await seen_within(db, other, f"{turn}") < 1
    assert pids(postgres_server) == []
    kept_out.clear()
    await until_listening(postgres_server, besides=[])
    deafen_polling(db)
    assert await seen_within(db, other, "after") < 1


async def test_closing_ends_the_thread_and_the_connection(
    postgres_url: str, postgres_server: EmbeddedPostgres
) -> None:
    db = PostgresDb(postgres_url)
    for _ in range(3):
        await db.watch(TRUST_TOPIC, after=0, timeout_seconds=0)
        await until_listening(postgres_server, besides=[])
        await db.close()
        await asyncio.to_thread(
            wait_until, lambda: pids(postgres_server) == [], what="nobody listens"
        )


def test_it_tries_to_connect_ever_more_slowly_and_ends_without_waiting_for_the_next_time() -> None:
    tried: list[float] = []

    def refuse() -> psycopg.Connection[tuple[Any, ...]]:
        tried.append(time.monotonic())
        raise StorageError("nobody is there")

    listener = PostgresListener(refuse, lambda _: None, name="trial")
    wait_until(lambda: len(tried) == 5, what="it has tried five times")
    began = time.monotonic()
    listener.close()
    listener.close()
    # The next pause would be the longest so far: 1.6 seconds.
    assert time.monotonic() - began < 1.4
    pauses = [after - before for before, after in pairwise(tried)]
    assert all(pause > 0.095 * 2**number for number, pause in enumerate(pauses)), pauses
    assert len(tried) == 5
    assert not threads_called("trial")


def test_what_hears_may_end_the_listener(postgres_url: str) -> None:
    """The garbage collector can run anywhere: whatever it finds there closes the Db."""
    backend = PostgresBackend(parse_postgres_url(postgres_url))
    ended = threading.Event()
    ready = threading.Event()

    def end(_: str | None) -> None:
        assert ready.wait(30)
        listener.close()
        ended.set()

    listener = PostgresListener(lambda: backend._connection(autocommit=True), end, name="inside")
    ready.set()
    assert ended.wait(30)
    wait_until(lambda: not threads_called("inside"), what="the thread has ended")


async def test_the_embedded_server_is_listened_to_and_goes_down_with_its_last_db() -> None:
    with reachable_folder() as folder:
        one, other = (PostgresDb(data_folder=folder / "postgres") for _ in range(2))
        deafen_polling(one)
        await one.open()
        await seen_within(one, other, "while it connects")
        assert await seen_within(one, other, "heard of") < 1
        assert len(list(folder.rglob("postmaster.pid"))) == 1
        await asyncio.gather(other.close(), one.close())
        assert list(folder.rglob("postmaster.pid")) == []
        assert not threads_called(one.id)


async def test_a_row_that_is_only_locked_tells_nobody(
    db: PostgresDb, other: PostgresDb, postgres_server: EmbeddedPostgres
) -> None:
    await other.trust().create_service_account(account(id="a"))
    with connected(postgres_server) as connection:
        connection.execute("LISTEN licet_changes")
        await other.trust().touch_service_account("a", last_used_at_us=5)
        assert await other.trust().forget_expired(now_us=5) == 0
        assert list(connection.notifies(timeout=0)) == []
        await other.trust().revoke_service_account("a", revoked_at_us=5)
        (heard,) = connection.notifies(timeout=30, stop_after=1)
    assert (heard.channel, heard.payload) == ("licet_changes", TRUST_TOPIC)
