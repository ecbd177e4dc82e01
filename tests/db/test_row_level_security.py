"""What a statement reaches that forgets its owner, or has a wrong one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import Connection

from licet.db.approval_records import Deleting
from licet.db.base import NOBODY, Access
from licet.db.postgres import PostgresDb
from licet.db.postgres_backend import PostgresBackend
from licet.db.postgres_pipeline import PostgresPipeline
from licet.db.postgres_url import parse_postgres_url
from licet.db.reach import SETTING, reaching_read
from licet.db.records import RunQuery, SessionKey
from licet.db.work_records import QueueFullError, QueueLimits
from licet.db.writes import Answer, Statement, Write
from licet.errors import ConflictError, StorageError
from tests.contract.pause_rows import EVERY_APPROVAL, decision, gone_on, paused
from tests.contract.rows import ADMIN, ALICE, BOB, everything, run, session, stored
from tests.contract.schedule_rows import attempt, made
from tests.contract.work_rows import claimed_id, enqueued
from tests.db.conftest import until_somebody_waits_for_a_lock
from tests.support.postgres import ROLE, ROW_ROLE, EmbeddedPostgres, connected

MALLORY = Access("mallory")
ROWS = "SELECT count(*) FROM licet_sessions UNION ALL SELECT count(*) FROM licet_runs"
WHO = f"SELECT current_user::text, coalesce(current_setting('{SETTING}', true), '')"
INSERT_SESSION = (
    "INSERT INTO licet_sessions (owner, session_id, session_type, session_state, "
    "created_at_us, updated_at_us) VALUES ('alice', 'new', 'agent', '{}', 1, 1)"
)
INSERT_RUN = (
    "INSERT INTO licet_runs (run_id, owner, session_id, component_id, status, body, "
    "total_tokens, created_at_us, updated_at_us) "
    "VALUES ('new', 'alice', 's', 'agent', 'RUNNING', '{}', 0, 1, 1)"
)
INSERT_JOB = (
    "INSERT INTO licet_jobs (run_id, owner, principal_key, request, created_at_us) "
    "VALUES ('new', 'alice', 'p', '{}', 1)"
)
INSERT_ONCE = (
    "INSERT INTO licet_once (owner, route, key, digest, run_id, session_owner, session_id, "
    "created_at_us) VALUES ('alice', 'r', 'k', 'd', 'new', 'alice', 's', 1)"
)
INSERT_APPROVAL = (
    "INSERT INTO licet_approvals (id, run_id, owner, session_id, component_id, tool_call_id, "
    "tool_name, arguments, requested_by, continues, created_at_us) "
    "VALUES ('new', 'new', 'alice', 's', 'agent', 'c', 't', '{}', 'alice', 1, 1)"
)
FORGETFUL = [
    "UPDATE licet_sessions SET session_name = 'taken'",
    "UPDATE licet_runs SET status = 'ERROR'",
    "UPDATE licet_sessions SET session_name = 'taken' WHERE session_id = 's'",
    "DELETE FROM licet_runs",
    "DELETE FROM licet_sessions",
]


@pytest.fixture
def url(postgres_server: EmbeddedPostgres, postgres_url: str) -> str:
    """A new and empty schema, on a server that has the role."""
    postgres_server.create_role_within(ROW_ROLE, member=ROLE)
    return postgres_url


@pytest.fixture
async def db(url: str) -> AsyncIterator[PostgresDb]:
    """Guarded, with a session and a run of Alice, of Bob, and of nobody."""
    db = PostgresDb(url, row_level_security=True)
    for owner in ("alice", "bob", NOBODY):
        await stored(db.store(Access(owner)), run(owner=owner))
    yield db
    await db.close()


def raw(sql: str, *parameters: Any) -> Write[Answer]:
    """A write of one statement, as somebody may write it who thinks of no owner."""
    return Write(("", ""), (Statement(sql, parameters),), lambda answers: answers[0])


async def read(db: PostgresDb, sql: str, access: Access | None = None) -> list[Sequence[Any]]:
    rows = await db.read(lambda c: c.exec_driver_sql(sql).all(), access=access)
    return [tuple(row) for row in rows]


async def rows_of_the_owner_of_the_tables(url: str) -> list[Any]:
    plain = PostgresDb(url)
    found = await everything(plain)
    await plain.close()
    return found


async def test_a_query_that_forgets_its_owner_finds_nothing(db: PostgresDb, url: str) -> None:
    assert await read(db, ROWS) == [(0,), (0,)]
    assert (await db.write(raw(ROWS))).rows == [(0,), (0,)]
    assert len(await rows_of_the_owner_of_the_tables(url)) == 6


@pytest.mark.parametrize("way", ["read", "follow", "look_up"])
async def test_every_way_to_read_is_the_roles_and_reaches_nothing_by_itself(
    db: PostgresDb, way: str
) -> None:
    def ask(connection: Connection) -> list[Any]:
        return [tuple(row) for sql in (WHO, ROWS) for row in connection.exec_driver_sql(sql)]

    for _ in range(3):
        assert await getattr(db, way)(ask) == [(ROW_ROLE, ""), (0,), (0,)]


@pytest.mark.parametrize(
    ("access", "count"),
    [
        (ALICE, 1),
        (BOB, 1),
        (Access(NOBODY), 1),
        (MALLORY, 0),
        (Access("alice\0"), 0),
        (Access("ali\ud800"), 0),
        (Access("*"), 0),
        (Access("=alice"), 0),
        (ADMIN, 3),
        (Access("\0", sees_all=True), 3),
    ],
    ids=repr,
)
async def test_a_query_without_a_condition_finds_what_its_access_reaches(
    db: PostgresDb, access: Access, count: int
) -> None:
    assert await read(db, ROWS, access) == [(count,), (count,)]
    assert (await db.write(raw(ROWS), access=access)).rows == [(count,), (count,)]


@pytest.mark.parametrize("access", [None, MALLORY], ids=repr)
@pytest.mark.parametrize("sql", FORGETFUL)
async def test_a_change_that_forgets_its_owner_or_has_a_wrong_one_changes_nothing(
    db: PostgresDb, url: str, sql: str, access: Access | None
) -> None:
    before = await rows_of_the_owner_of_the_tables(url)
    assert (await db.write(raw(sql), access=access)).touched == 0
    assert await rows_of_the_owner_of_the_tables(url) == before


@pytest.mark.parametrize("sql", FORGETFUL)
async def test_a_change_without_a_condition_changes_its_owners_rows_alone(
    db: PostgresDb, url: str, sql: str
) -> None:
    before = await rows_of_the_owner_of_the_tables(url)
    assert (await db.write(raw(sql), access=ALICE)).touched == 1
    after = await rows_of_the_owner_of_the_tables(url)
    assert after != before
    assert [r for r in after if r.owner != "alice"] == [r for r in before if r.owner != "alice"]


@pytest.mark.parametrize("access", [None, MALLORY], ids=repr)
async def test_an_insert_without_its_owner_or_for_a_wrong_one_is_refused(
    db: PostgresDb, url: str, access: Access | None
) -> None:
    before = await rows_of_the_owner_of_the_tables(url)
    for sql in (INSERT_SESSION, INSERT_RUN, INSERT_JOB, INSERT_ONCE, INSERT_APPROVAL):
        with pytest.raises(StorageError, match="row-level security"):
            await db.write(raw(sql), access=access)
        assert (await db.write(raw(sql), access=ALICE)).touched == 1
    assert len(await rows_of_the_owner_of_the_tables(url)) == len(before) + 2


async def test_what_goes_with_a_run_is_reached_as_the_run_is(db: PostgresDb) -> None:
    for sql in (INSERT_RUN, INSERT_JOB, INSERT_ONCE, INSERT_APPROVAL):
        await db.write(raw(sql), access=ALICE)
    for table in ("licet_jobs", "licet_once", "licet_approvals"):
        # S608: constants.
        count = f"SELECT count(*) FROM {table}"  # noqa: S608
        found = [await read(db, count, access) for access in (None, MALLORY, BOB, ALICE, ADMIN)]
        assert found == [[(0,)], [(0,)], [(0,)], [(1,)], [(1,)]]
        for sql in (f"UPDATE {table} SET run_id = run_id", f"DELETE FROM {table}"):  # noqa: S608
            for access, touched in ((None, 0), (BOB, 0), (ALICE, 1)):
                assert (await db.write(raw(sql), access=access)).touched == touched


async def test_the_server_works_on_everybodys_runs_and_owners_on_their_own(
    db: PostgresDb, url: str
) -> None:
    limits = QueueLimits(waiting=2)
    records = [await enqueued(db, owner=owner, limits=limits) for owner in ("alice", "bob")]
    # An owner sees one that waits; the server counts two.
    with pytest.raises(QueueFullError):
        await enqueued(db, owner="carol", limits=limits)
    assert await read(db, "SELECT count(*) FROM licet_jobs", ALICE) == [(1,)]
    for record in records:
        assert await claimed_id(db) == record.run_id
    assert [row.owner for row in await db.work().durable_runs_of("e")] == ["alice", "bob"]
    assert len(await rows_of_the_owner_of_the_tables(url)) == 8


async def test_approvals_are_written_by_owners_and_decided_by_the_server(db: PostgresDb) -> None:
    records = [await paused(db, f"of {owner}", owner=owner) for owner in ("alice", "bob")]
    ids = "SELECT id FROM licet_approvals ORDER BY id"
    assert await read(db, ids, ALICE) == [("of alice",)]
    assert await read(db, ids, MALLORY) == []
    assert (await db.approvals().list(EVERY_APPROVAL)).total_count == 2
    # An owner sees what is undecided of their run, and that it is not: it waits, and goes on.
    for record in records:
        store, at = db.store(Access(record.owner)), record.updated_at_us
        going_on = gone_on(record)
        assert await store.continue_run(going_on, paused_at_us=at, history_runs=0) is None
        assert await db.approvals().resolve(f"of {record.owner}", decision())
        assert await claimed_id(db) == record.run_id
    assert await db.approvals().delete("of bob") is Deleting.REFUSED


async def test_rows_cannot_be_given_away(db: PostgresDb, url: str) -> None:
    before = await rows_of_the_owner_of_the_tables(url)
    for table in ("licet_sessions", "licet_runs"):
        # S608: a constant.
        give = f"UPDATE {table} SET owner = 'bob', session_id = 'given'"  # noqa: S608
        with pytest.raises(StorageError, match="row-level security"):
            await db.write(raw(give), access=ALICE)
    assert await rows_of_the_owner_of_the_tables(url) == before


async def test_runs_go_with_their_session_and_no_other_owners(db: PostgresDb, url: str) -> None:
    assert await db.store(ALICE).delete_sessions([SessionKey("alice", "s")]) == 1
    left = await rows_of_the_owner_of_the_tables(url)
    assert [row.owner for row in left] == [NOBODY, NOBODY, "bob", "bob"]
    assert await db.store(ADMIN).delete_sessions([SessionKey("bob", "s")]) == 1
    assert {row.owner for row in await rows_of_the_owner_of_the_tables(url)} == {NOBODY}


async def test_an_owner_does_not_reach_the_next_write_of_its_transaction(
    db: PostgresDb, url: str, postgres_server: EmbeddedPostgres
) -> None:
    counted = raw("SELECT count(*), pg_current_xact_id()::text FROM licet_sessions")
    accesses = [ALICE, None, BOB, None, ADMIN, None, MALLORY, Access(NOBODY), None]
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE licet_runs")
        held = asyncio.create_task(stored(db.store(ALICE), run()))
        await until_somebody_waits_for_a_lock(postgres_server)
        writes = [asyncio.create_task(db.write(counted, access=access)) for access in accesses]
        await asyncio.sleep(0)
        other.rollback()
    await held
    answers = [(await write).rows[0] for write in writes]
    assert [count for count, _ in answers] == [1, 0, 1, 0, 3, 0, 0, 1, 0]
    assert len({transaction for _, transaction in answers}) == 1


async def test_after_an_error_nothing_is_left_of_its_owner(db: PostgresDb, url: str) -> None:
    (taken,) = await db.store(ALICE).list_runs(SessionKey("alice", "s"), RunQuery())
    for _ in range(3):
        with pytest.raises(ConflictError):
            await db.store(ALICE).begin_run(session(), taken, history_runs=0)
        assert (await db.write(raw(ROWS))).rows == [(0,), (0,)]
        with pytest.raises(StorageError, match="division by zero"):
            await db.write(raw("SELECT 1 / 0"), access=ADMIN)
        assert (await db.write(raw(WHO))).rows == [(ROW_ROLE, "")]
        with pytest.raises(StorageError, match="division by zero"):
            await read(db, "SELECT 1 / 0", ADMIN)
        assert await read(db, ROWS) == [(0,), (0,)]
    assert len(await rows_of_the_owner_of_the_tables(url)) == 6


async def test_of_writes_that_one_spoils_each_keeps_its_own_owner(
    db: PostgresDb, url: str, postgres_server: EmbeddedPostgres
) -> None:
    (taken,) = await db.store(ALICE).list_runs(SessionKey("alice", "s"), RunQuery())
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE licet_runs")
        held = asyncio.create_task(stored(db.store(ALICE), run()))
        await until_somebody_waits_for_a_lock(postgres_server)
        spoilt = asyncio.create_task(db.store(ALICE).begin_run(session(), taken, history_runs=0))
        counting = [
            asyncio.create_task(db.write(raw(ROWS), access=access)) for access in (None, BOB, None)
        ]
        await asyncio.sleep(0)
        other.rollback()
    await held
    with pytest.raises(ConflictError):
        await spoilt
    found = [(await count).rows for count in counting]
    assert found == [[(0,), (0,)], [(1,), (1,)], [(0,), (0,)]]


@contextmanager
def pipeline(backend: PostgresBackend) -> Any:
    connection = backend.connect()
    assert isinstance(connection, PostgresPipeline)
    yield connection
    connection.close()


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_a_connection_of_the_writer_is_nobodys_after_a_transaction(
    db: PostgresDb, url: str, end: str
) -> None:
    backend = PostgresBackend(parse_postgres_url(url), row_role=ROW_ROLE)
    with pipeline(backend) as connection:
        for _ in range(3):
            answers = connection.execute(backend.guarded_write(raw(WHO), ALICE).statements)
            assert answers[1].rows == [(ROW_ROLE, "=alice")]
            getattr(connection, end)()
            result = connection._pgconn.exec_(WHO.encode())
            assert (result.get_value(0, 0), result.get_value(0, 1)) == (ROLE.encode(), b"")
            # What begins a transaction without saying anything reaches nothing.
            assert connection.execute([Statement(WHO, ())])[0].rows == [(ROW_ROLE, "")]
            getattr(connection, end)()


async def test_a_pooled_connection_is_nobodys_after_a_read(db: PostgresDb, url: str) -> None:
    engine = PostgresBackend(parse_postgres_url(url), row_role=ROW_ROLE).reading(1)

    def who(connection: Connection) -> list[Any]:
        (row,) = connection.exec_driver_sql(WHO).all()
        return [*row, connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()]

    def fail(_: Connection) -> None:
        raise ZeroDivisionError

    try:
        with engine.connect() as connection, pytest.raises(ZeroDivisionError):
            reaching_read(fail, ALICE)(connection)
        with engine.connect() as connection:
            role, reach, pid = reaching_read(who, ALICE)(connection)
            assert (role, reach) == (ROW_ROLE, "=alice")
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.autocommit = True
            assert driver.execute(WHO).fetchone() == (ROLE, "")
            driver.autocommit = False
        # The same connection, and somebody who says nothing.
        with engine.connect() as connection, connection.begin():
            assert who(connection) == [ROW_ROLE, "", pid]
    finally:
        engine.dispose()


async def test_a_server_that_does_not_ask_for_it_goes_on_beside_it(
    db: PostgresDb, url: str
) -> None:
    plain = PostgresDb(url)
    assert (await plain.write(raw(ROWS))).rows == [(3,), (3,)]
    assert await read(plain, WHO) == [(ROLE, "")]
    record = await stored(plain.store(ALICE), run())
    assert await db.store(ALICE).get_run(record.session_key, record.run_id) == record
    assert await db.store(BOB).get_run(record.session_key, record.run_id) is None
    assert await plain.store(ALICE).delete_sessions([record.session_key]) == 1
    assert await db.store(ALICE).list_runs(record.session_key, RunQuery()) == []
    await plain.close()


async def test_it_holds_on_connections_that_are_made_anew(
    db: PostgresDb, postgres_server: EmbeddedPostgres
) -> None:
    assert await read(db, ROWS, ALICE) == [(1,), (1,)]
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'licet'"
    with connected(postgres_server, "postgres") as connection:
        assert len(connection.execute(kill).fetchall()) >= 2
    assert await read(db, ROWS) == [(0,), (0,)]
    assert (await db.write(raw(ROWS))).rows == [(0,), (0,)]
    assert await read(db, ROWS, ALICE) == [(1,), (1,)]


async def test_nothing_is_stored_once_the_role_is_gone(
    db: PostgresDb, url: str, postgres_server: EmbeddedPostgres
) -> None:
    with connected(postgres_server, "postgres") as connection:
        connection.execute(f"REVOKE {ROW_ROLE} FROM {ROLE}")
        try:
            with pytest.raises(StorageError, match="permission denied"):
                await stored(db.store(ALICE), run())
            with pytest.raises(StorageError, match="permission denied"):
                await read(db, ROWS, ALICE)
        finally:
            connection.execute(f"GRANT {ROW_ROLE} TO {ROLE}")
    assert len(await rows_of_the_owner_of_the_tables(url)) == 6


async def test_a_page_of_a_list_is_still_found_by_its_index(db: PostgresDb, url: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO licet_sessions (owner, session_id, session_type, session_state, "
            "created_at_us, updated_at_us) SELECT 'owner' || n % 20, n::text, 'agent', '{}', n, n "
            "FROM generate_series(1, 20000) AS n"
        )
        connection.execute("ANALYZE licet_sessions")
    page = (
        "EXPLAIN SELECT * FROM licet_sessions WHERE owner = 'owner7' "
        "ORDER BY created_at_us DESC, session_id DESC, owner DESC LIMIT 20"
    )
    plan = "\n".join(row[0] for row in await read(db, page, Access("owner7")))
    assert "Incremental Sort" in plan
    assert "Index Scan Backward using licet_sessions_created" in plan


@pytest.mark.parametrize("table", ["licet_schedules", "licet_schedule_runs"])
async def test_schedules_that_a_statement_forgets_the_owner_of_are_its_accesss_alone(
    db: PostgresDb, table: str
) -> None:
    for owner in ("alice", "bob"):
        store = db.schedules(Access(owner))
        assert await store.begin_run(attempt(await made(db, owner=owner))) is not None
    every = f"SELECT owner FROM {table} ORDER BY owner"  # noqa: S608 - ours
    assert await read(db, every) == []
    assert await read(db, every, MALLORY) == []
    assert await read(db, every, ALICE) == [("alice",)]
    assert await read(db, every, ADMIN) == [("alice",), ("bob",)]
    deleted = await db.write(raw(f"DELETE FROM {table}"), access=BOB)  # noqa: S608 - ours
    assert deleted.touched == 1
    assert await read(db, every, ADMIN) == [("alice",)]
