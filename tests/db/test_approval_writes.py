"""Decisions of two processes at one moment, and how lists of approvals are found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Select

from licet.db import approval_reads, approval_writes, run_writes
from licet.db.access import THE_SERVER
from licet.db.approval_records import ApprovalQuery, ApprovalStatus
from licet.db.postgres import PostgresDb
from licet.db.postgres_backend import PostgresBackend
from licet.db.postgres_url import parse_postgres_url
from licet.db.records import RunRecord, RunStatus, Saving, SessionKey
from licet.db.sqlite import SqliteBackend, SqliteDb
from licet.db.writes import ContentionError, Write
from tests.contract.pause_rows import approval, at_work, decision, gone_on, paused, pausing
from tests.contract.rows import ALICE, tick
from tests.contract.work_rows import job_of
from tests.db.conftest import until_somebody_waits_for_a_lock
from tests.support.postgres import ROLE, ROW_ROLE, EmbeddedPostgres

KEY = SessionKey("alice", "s")


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[PostgresDb]:
    db = PostgresDb(postgres_url)
    await db.open()
    yield db
    await db.close()


@pytest.fixture
def backend(postgres_url: str) -> PostgresBackend:
    """Another process, which writes but does not commit."""
    return PostgresBackend(parse_postgres_url(postgres_url))


async def test_the_second_of_two_last_decisions_sees_the_first_and_lets_the_run_go_on(
    db: PostgresDb, backend: PostgresBackend, postgres_server: EmbeddedPostgres
) -> None:
    waits = await paused(db, "a", "b")
    theirs, mine = decision(), decision()
    with closing(backend.connect()) as other:
        other.execute(approval_writes.resolve("a", KEY, theirs).statements)
        deciding = asyncio.create_task(db.approvals().resolve("b", mine))
        await until_somebody_waits_for_a_lock(postgres_server)
        other.commit()
    assert await deciding
    expected = replace(waits, status=RunStatus.PENDING, updated_at_us=mine.at_us)
    assert await db.store(ALICE).find_run(waits.run_id) == expected


async def test_of_two_decisions_about_one_call_the_second_hears_that_it_came_too_late(
    db: PostgresDb, backend: PostgresBackend, postgres_server: EmbeddedPostgres
) -> None:
    waits = await paused(db, "a")
    with closing(backend.connect()) as other:
        other.execute(approval_writes.resolve("a", KEY, theirs := decision()).statements)
        deciding = asyncio.create_task(db.approvals().resolve("a", decision(approved=False)))
        await until_somebody_waits_for_a_lock(postgres_server)
        other.commit()
    assert not await deciding
    found = await db.approvals().get("a")
    assert found is not None
    assert found.approval.resolution == theirs
    run = await db.store(ALICE).find_run(waits.run_id)
    assert run is not None
    assert (run.status, run.updated_at_us) == (RunStatus.PENDING, theirs.at_us)


@pytest.mark.parametrize("status", [RunStatus.CANCELLED, RunStatus.ERROR])
async def test_a_decision_that_waits_for_an_end_decides_nothing(
    db: PostgresDb, backend: PostgresBackend, postgres_server: EmbeddedPostgres, status: RunStatus
) -> None:
    waits = await paused(db, "a")
    ended = replace(waits, status=status, updated_at_us=tick())
    with closing(backend.connect()) as other:
        other.execute(run_writes.save_run(ended, session_state=None).statements)
        deciding = asyncio.create_task(db.approvals().resolve("a", decision()))
        await until_somebody_waits_for_a_lock(postgres_server)
        other.commit()
    assert not await deciding
    assert await db.store(ALICE).find_run(waits.run_id) == ended


async def test_a_run_that_is_asked_to_stop_while_it_pauses_does_not_pause(
    db: PostgresDb, backend: PostgresBackend, postgres_server: EmbeddedPostgres
) -> None:
    record = await at_work(db)
    with closing(backend.connect()) as other:
        other.execute(run_writes.ask_to_cancel(KEY, record.run_id, now_us=1).statements)
        pausing_it = asyncio.create_task(
            db.store(ALICE).pause_run(
                pausing(record),
                session_state={"new": 1},
                job=job_of(record),
                approvals=[approval(record, "a")],
            )
        )
        await until_somebody_waits_for_a_lock(postgres_server)
        other.commit()
    assert await pausing_it is Saving.REFUSED
    assert await db.store(ALICE).find_run(record.run_id) == record
    assert await db.approvals().get("a") is None
    assert await db.work().job(record.run_id) is None


async def test_going_on_that_waits_for_another_to_do_so_does_not(
    db: PostgresDb, backend: PostgresBackend, postgres_server: EmbeddedPostgres
) -> None:
    waits = await paused(db)
    at, theirs = waits.updated_at_us, gone_on(waits, RunStatus.PENDING)
    with closing(backend.connect()) as other:
        other.execute(run_writes.continue_run(theirs, paused_at_us=at, history_runs=0).statements)
        mine = asyncio.create_task(
            db.store(ALICE).continue_run(gone_on(waits), paused_at_us=at, history_runs=0)
        )
        await until_somebody_waits_for_a_lock(postgres_server)
        other.commit()
    assert await mine is None
    assert await db.store(ALICE).find_run(waits.run_id) == theirs


async def test_a_session_that_is_deleted_under_a_pause_leaves_nothing_of_it(
    db: PostgresDb, backend: PostgresBackend, postgres_server: EmbeddedPostgres, postgres_url: str
) -> None:
    record = await at_work(db)
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as other:
        other.execute("DELETE FROM licet_sessions")
        pausing_it = asyncio.create_task(
            db.store(ALICE).pause_run(
                pausing(record), session_state={}, job=job_of(record), approvals=[approval(record)]
            )
        )
        await until_somebody_waits_for_a_lock(postgres_server)
        other.commit()
    assert await pausing_it is Saving.ABSENT


async def resolving(db: PostgresDb) -> tuple[RunRecord, Write[Any]]:
    """A paused run, and the last decision about it."""
    return await paused(db, "a"), approval_writes.resolve("a", KEY, decision())


async def going_on(db: PostgresDb) -> tuple[RunRecord, Write[Any]]:
    """A paused run, and its going on."""
    waits = await paused(db)
    at = waits.updated_at_us
    return waits, run_writes.continue_run(gone_on(waits), paused_at_us=at, history_runs=0)


async def asking_to_stop(db: PostgresDb) -> tuple[RunRecord, Write[Any]]:
    """A run at work, and a wish to stop it."""
    record = await at_work(db)
    return record, run_writes.ask_to_cancel(KEY, record.run_id, now_us=1)


@pytest.mark.parametrize("way", [resolving, going_on, asking_to_stop], ids=lambda way: way.__name__)
async def test_what_changes_a_run_waits_for_no_other_of_its_session_in_a_circle(
    db: PostgresDb,
    backend: PostgresBackend,
    postgres_server: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[[PostgresDb], Awaitable[tuple[RunRecord, Write[Any]]]],
) -> None:
    in_the_way: list[str] = []
    # It would be tried again, and nobody would see it.
    monkeypatch.setattr(ContentionError, "__init__", lambda _, text: in_the_way.append(text))
    beside = await at_work(db)
    record, theirs = await way(db)
    cancelled = replace(record, status=RunStatus.CANCELLED, updated_at_us=tick())
    with closing(backend.connect()) as other:
        other.execute(theirs.statements)
        cancelling = asyncio.create_task(db.store(ALICE).save_run(cancelled, session_state=None))
        await until_somebody_waits_for_a_lock(postgres_server)
        saving = run_writes.save_run(beside, session_state=None)
        await asyncio.to_thread(other.execute, saving.statements)
        other.commit()
    await cancelling
    # One that was saved anew by somebody else is looked at again; nobody is in anybody's way.
    assert not [text for text in in_the_way if "deadlock" in text]


BY_KEY = "sqlite_autoindex_licet_approvals_1"
READS = [
    (approval_reads.approval_page(ApprovalQuery(now_us=1)), "licet_approvals_created"),
    (
        approval_reads.approval_page(ApprovalQuery(now_us=1, status=ApprovalStatus.PENDING)),
        "licet_approvals_created",
    ),
    (approval_reads.approval_page(ApprovalQuery(now_us=1, run_id="r")), "licet_approvals_of_run"),
    (approval_reads.approval_page(ApprovalQuery(now_us=1, ids=frozenset("ab"))), BY_KEY),
    (approval_reads.one_approval("a"), BY_KEY),
    (approval_reads.approvals_of("r"), "licet_approvals_of_run"),
]


def in_words(select: Select[Any]) -> str:
    """A query, with its values."""
    return str(select.compile(compile_kwargs={"literal_binds": True}))


@pytest.mark.parametrize(("select", "index"), READS, ids=range(len(READS)))
async def test_sqlite_finds_approvals_by_an_index_and_each_run_by_its_key(
    tmp_path: Path, select: Select[Any], index: str
) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    await db.open()
    with closing(SqliteBackend(db.db_file)._connection()) as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {in_words(select)}").fetchall()
    await db.close()
    steps = [row[3] for row in rows]
    assert [step for step in steps if f"licet_approvals USING INDEX {index}" in step], steps
    by_key = "SEARCH licet_runs USING INDEX sqlite_autoindex_licet_runs_1"
    assert all(by_key in step for step in steps if "licet_runs" in step), steps


@pytest.mark.parametrize("guarded", [False, True], ids=["plain", "guarded"])
async def test_postgres_reads_a_page_of_many_approvals_and_not_all_of_them(
    postgres_server: EmbeddedPostgres, postgres_url: str, guarded: object
) -> None:
    postgres_server.create_role_within(ROW_ROLE, member=ROLE)
    db = PostgresDb(postgres_url, row_level_security=guarded is True)
    await paused(db, "a")
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in (MANY_RUNS, MANY_APPROVALS, "ANALYZE"):
            connection.execute(statement)
    page = in_words(approval_reads.approval_page(ApprovalQuery(now_us=1, limit=20)))
    rows = await db.read(lambda c: c.exec_driver_sql(f"EXPLAIN {page}").all(), access=THE_SERVER)
    await db.close()
    plan = "\n".join(row[0] for row in rows)
    assert "Index Scan Backward using licet_approvals_created" in plan
    assert "Index Scan using licet_runs_pkey" in plan


MANY_RUNS = (
    "INSERT INTO licet_runs (run_id, owner, session_id, component_id, status, body, total_tokens, "
    "created_at_us, updated_at_us) SELECT n::text, 'alice', 's', 'a', 'COMPLETED', '{}', 0, n, n "
    "FROM generate_series(1, 20000) AS n"
)
MANY_APPROVALS = (
    "INSERT INTO licet_approvals (id, run_id, owner, session_id, component_id, tool_call_id, "
    "tool_name, arguments, requested_by, continues, created_at_us, approved, resolved_at_us) "
    "SELECT n::text, n::text, 'alice', 's', 'a', 'c', 't', '{}', '', 1, n, 1, n "
    "FROM generate_series(1, 20000) AS n"
)
