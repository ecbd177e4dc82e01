from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import quote

import pytest

from licet.db import writes
from licet.db.base import SessionChanges
from licet.db.postgres import PostgresDb
from licet.db.postgres_backend import _MIGRATION_LOCK, PostgresBackend
from licet.db.postgres_url import parse_postgres_url
from licet.db.records import RunQuery, RunStatus, Saving, SessionKey
from licet.db.writer import UnavailableError
from licet.db.writes import ContentionError
from licet.errors import ConfigurationError, StorageError
from tests.contract.rows import ALICE, run, session, stored
from tests.db.conftest import until_somebody_waits_for_a_lock, wait_until
from tests.support.postgres import EmbeddedPostgres, connected, fresh_schema, reachable_folder

KEY = SessionKey("alice", "s")
KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'licet'"
WAITS_LONG = (
    "SELECT FROM pg_stat_activity WHERE application_name = 'licet-impatient' "
    "AND wait_event = 'advisory' AND now() - state_change > interval '0.5 seconds'"
)


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[PostgresDb]:
    db = PostgresDb(postgres_url)
    await db.open()
    yield db
    await db.close()


def test_constructing_connects_to_nothing() -> None:
    PostgresDb("postgresql://nobody:x@192.0.2.1:1/none")


async def test_a_server_that_is_not_there_is_reported() -> None:
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        await PostgresDb("postgresql://u:geheim@127.0.0.1:1/d").open()
    assert "geheim" not in str(caught.value)


async def test_a_wrong_password_is_reported_without_it(
    postgres_url: str, postgres_server: EmbeddedPostgres
) -> None:
    right = postgres_server.parameters("tests")["password"]
    with pytest.raises(StorageError, match="password authentication failed") as caught:
        await PostgresDb(postgres_url.replace(right, "geheim")).open()
    assert "geheim" not in str(caught.value)


async def test_a_role_that_may_not_create_tables_is_reported(
    postgres_server: EmbeddedPostgres, postgres_url: str
) -> None:
    with connected(postgres_server, "postgres") as connection:
        connection.execute("DROP ROLE IF EXISTS weak")
        connection.execute("CREATE ROLE weak LOGIN PASSWORD 'weak'")
        connection.execute("GRANT CONNECT ON DATABASE tests TO weak")
    right = postgres_server.parameters("tests")["password"]
    url = postgres_url.replace(f"tests:{right}@", "weak:weak@")
    with pytest.raises(StorageError, match="brought up to date"):
        await PostgresDb(url).open()
    with connected(postgres_server, "postgres") as connection:
        connection.execute("REVOKE ALL ON DATABASE tests FROM weak")
        connection.execute("DROP ROLE weak")


async def test_a_migration_waits_longer_than_the_statements_of_the_role_may(
    postgres_url: str, postgres_server: EmbeddedPostgres
) -> None:
    impatient = f"{postgres_url}{quote(' -cstatement_timeout=200 -clock_timeout=200')}"
    db = PostgresDb(f"{impatient}&application_name=licet-impatient")
    with connected(postgres_server) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        opening = asyncio.create_task(db.open())
        await asyncio.to_thread(
            wait_until,
            lambda: other.execute(WAITS_LONG).fetchone() is not None,
            what="the migration waits for the lock",
        )
        other.execute("SELECT pg_advisory_unlock(%s)", (_MIGRATION_LOCK,))
        await opening
    assert await db.store(ALICE).get_run(KEY, "none") is None
    await db.close()


async def test_connections_that_the_server_closed_are_made_anew(
    db: PostgresDb, postgres_server: EmbeddedPostgres
) -> None:
    store = db.store(ALICE)
    record = await stored(store, run())
    assert await store.get_run(KEY, record.run_id) == record
    with connected(postgres_server, "postgres") as connection:
        assert len(connection.execute(KILL).fetchall()) >= 2
    outcomes = await asyncio.gather(*(stored(store, run()) for _ in range(20)))
    assert len(outcomes) == 20
    assert len(await store.list_runs(KEY, RunQuery())) == 21


async def test_a_connection_that_is_lost_at_the_commit_says_that_it_is_not_known(
    db: PostgresDb, postgres_url: str, postgres_server: EmbeddedPostgres
) -> None:
    for ending in ("commit", "rollback", "execute"):
        connection = PostgresBackend(parse_postgres_url(postgres_url)).connect()
        write = writes.create_session(session())
        connection.execute(write.statements)
        with connected(postgres_server, "postgres") as killing:
            killing.execute(KILL)
        if ending == "commit":
            with pytest.raises(UnavailableError, match="not known") as caught:
                connection.commit()
            assert caught.value.may_be_stored
        elif ending == "rollback":
            with pytest.raises(StorageError):
                connection.rollback()
        else:
            with pytest.raises(UnavailableError, match="not stored"):
                connection.execute(write.statements)
        connection.close()


async def test_a_read_only_server_is_unavailable_not_at_odds(postgres_url: str) -> None:
    db = PostgresDb(postgres_url)
    await db.open()
    await db.close()
    db = PostgresDb(f"{postgres_url}%20-cdefault_transaction_read_only%3Don")
    outcomes = await asyncio.gather(
        *(stored(db.store(ALICE), run()) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(outcome, UnavailableError) for outcome in outcomes)
    await db.close()


async def test_while_the_server_is_down_everything_fails_and_nothing_hangs() -> None:
    with reachable_folder() as folder, EmbeddedPostgres(folder / "postgres") as server:
        server.create_role_and_database("tests")
        db = PostgresDb(server.url("tests"))
        store = db.store(ALICE)
        record = await stored(store, run())
        await store.get_run(KEY, record.run_id)
        await asyncio.to_thread(server.stop)
        began = time.monotonic()
        outcomes = await asyncio.gather(
            *(stored(store, run()) for _ in range(30)),
            store.get_run(KEY, record.run_id),
            return_exceptions=True,
        )
        assert all(isinstance(outcome, StorageError) for outcome in outcomes)
        assert time.monotonic() - began < 20
        await asyncio.to_thread(server.start)
        assert await store.get_run(KEY, record.run_id) == record
        assert await store.save_run(record, session_state=None) is Saving.SAVED
        assert len(await store.list_runs(KEY, RunQuery())) == 1
        await db.close()


async def test_a_session_that_is_deleted_while_a_run_begins_in_it_is_made_again(
    postgres_url: str, postgres_server: EmbeddedPostgres
) -> None:
    db, other = PostgresDb(postgres_url), PostgresBackend(parse_postgres_url(postgres_url))
    await stored(db.store(ALICE), run())
    deleting = other.connect()
    deleting.execute(writes.delete_sessions([KEY], session_type=None).statements)
    beginning = asyncio.create_task(stored(db.store(ALICE), run(run_id="late")))
    await until_somebody_waits_for_a_lock(postgres_server)
    assert not beginning.done()
    deleting.commit()
    deleting.close()
    await beginning
    listed = await db.store(ALICE).list_runs(KEY, RunQuery())
    assert [record.run_id for record in listed] == ["late"]
    await db.close()


async def test_a_deadlock_with_another_process_is_tried_again(
    db: PostgresDb, postgres_url: str, postgres_server: EmbeddedPostgres
) -> None:
    store = db.store(ALICE)
    for name in ("a", "b"):
        await store.create_session(session(name))
    other = PostgresBackend(parse_postgres_url(postgres_url)).connect()
    change = SessionChanges(session_name="theirs")

    def theirs(name: str) -> None:
        write = writes.update_session(SessionKey("alice", name), change, updated_at_us=1)
        other.execute(write.statements)

    # They hold b and want a; the group holds a and wants b.
    theirs("b")
    records = [run("a"), run("b")]
    changing = [
        asyncio.create_task(
            store.update_session(r.session_key, SessionChanges(summary={}), updated_at_us=2)
        )
        for r in records
    ]
    await until_somebody_waits_for_a_lock(postgres_server)
    try:
        await asyncio.to_thread(theirs, "a")
        other.commit()
    except ContentionError:
        other.rollback()
    changed = await asyncio.gather(*changing)
    assert all(record is not None and record.summary == {} for record in changed)
    other.close()


async def test_values_of_rows_are_not_in_messages(db: PostgresDb) -> None:
    secret = "geheim" * 10
    broken = writes.create_session(session(session_name=secret))
    statement = broken.statements[0]
    bad = statement._replace(sql=statement.sql.replace("licet_sessions", "licet_runs"))
    with pytest.raises(StorageError) as caught:
        await db.write(replace(broken, statements=(bad,)))
    assert "geheim" not in str(caught.value)


async def test_a_group_larger_than_every_buffer_goes_through(db: PostgresDb) -> None:
    store, body = db.store(ALICE), b'"' + b"x" * 1_000_000 + b'"'
    await asyncio.gather(*(stored(store, run(body=body)) for _ in range(24)))
    listed = await store.list_runs(KEY, RunQuery())
    assert [len(record.body) for record in listed] == [len(body)] * 24


async def test_answers_larger_than_every_buffer_come_back(db: PostgresDb) -> None:
    store = db.store(ALICE)
    body = b'"' + b"x" * 1_000_000 + b'"'
    for _ in range(3):
        await stored(store, run(body=body, status=RunStatus.COMPLETED))
    begun = await asyncio.gather(
        *(store.begin_run(session(), run(body=body), history_runs=3) for _ in range(16))
    )
    assert [len(b.history) for b in begun] == [3] * 16


async def test_the_roles_isolation_level_does_not_matter(
    postgres_server: EmbeddedPostgres,
) -> None:
    with fresh_schema(postgres_server) as url:
        db = PostgresDb(f"{url}%20-cdefault_transaction_isolation%3Dserializable")
        other = PostgresDb(url)
        await db.open()
        await asyncio.gather(
            *(stored(d.store(ALICE), run()) for d in (db, other) for _ in range(40))
        )
        assert len(await db.store(ALICE).list_runs(KEY, RunQuery())) == 80
        await asyncio.gather(db.close(), other.close())


def test_a_url_and_a_folder_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        PostgresDb("postgresql://h/d", data_folder="x")


async def test_a_new_database_finds_rows_by_their_keys(
    postgres_url: str, postgres_server: EmbeddedPostgres
) -> None:
    db = PostgresDb(postgres_url)
    for number in range(40):
        record = await stored(db.store(ALICE), run(f"{number}"))
        await db.store(ALICE).save_run(record, session_state=None)
    await db.close()
    schema = postgres_url.rpartition("search_path%3D")[2]
    query = b"SELECT indexrelname, idx_scan FROM pg_stat_user_indexes WHERE schemaname = %s"

    def used() -> dict[str, int]:
        with connected(postgres_server) as connection:
            return dict(connection.execute(query, (schema,)).fetchall())

    # A connection's statistics arrive when it has ended.
    await asyncio.to_thread(
        wait_until, lambda: used()["licet_sessions_pkey"] >= 40, what="the statistics are there"
    )
    assert used()["licet_runs_pkey"] >= 40
    assert used()["licet_sessions_created"] == used()["licet_sessions_updated"] == 0
    assert used()["licet_runs_of_session"] == 0
