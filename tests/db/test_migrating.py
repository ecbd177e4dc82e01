from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from licet.db import (
    approval_codec,
    audit_codec,
    codec,
    migrations,
    schedule_codec,
    tables,
    trust_codec,
    work_codec,
)
from licet.db.backend import Backend
from licet.db.migrating import alembic_config, bring_up_to_date
from licet.db.postgres_backend import PostgresBackend
from licet.db.postgres_url import parse_postgres_url
from licet.db.records import RunRecord, RunStatus, Saving, SessionQuery, SessionRecord
from licet.db.schedule_records import SCHEDULE_TOPIC
from licet.db.sqlite import SqliteBackend
from licet.db.trust_records import TRUST_TOPIC, TrustChanges
from licet.db.work_records import WORK_TOPIC
from licet.errors import StorageError
from tests.contract.audit_rows import all_records, append, records
from tests.contract.pause_rows import approval, decision, pause
from tests.contract.rows import ADMIN, ALICE, everything, run, session
from tests.contract.schedule_rows import attempt, made
from tests.contract.trust_rows import revocation
from tests.contract.work_rows import claimed, claimed_id, enqueued, job_of
from tests.db.conftest import db_of

OPEN = """
import asyncio, sys
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    url = sys.argv[1]
    db = SqliteDb(db_url=url) if url.startswith("sqlite") else PostgresDb(url)
    await db.open()
    await db.close()

asyncio.run(main())
"""


@pytest.fixture
def backend(url: str) -> Backend:
    made: Backend
    if url.startswith("sqlite"):
        made = SqliteBackend(Path(url.removeprefix("sqlite:///")))
    else:
        made = PostgresBackend(parse_postgres_url(url))
    made.prepare()
    return made


def set_revision(backend: Backend, revision: str) -> None:
    engine = backend.migrating()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE {migrations.VERSION_TABLE} SET version_num = '{revision}'"  # noqa: S608 - ours
        )
    engine.dispose()


def bring_up_to(backend: Backend, revision: str) -> None:
    engine = backend.migrating()
    with engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def insert_before_executors(backend: Backend, kept: SessionRecord, record: RunRecord) -> None:
    """Insert a session and a run of it, as revisions before 0004 have them."""
    insert(backend, kept, record, without=("executor_id", "durable"))


def insert(
    backend: Backend, kept: SessionRecord, record: RunRecord, *, without: Sequence[str] = ()
) -> None:
    """Insert a session and a run of it."""
    run_row = dict(zip(codec.RUN_COLUMNS, codec.run_row(record), strict=True))
    for column in without:
        del run_row[column]
    session_row = dict(zip(codec.SESSION_COLUMNS, codec.session_row(kept), strict=True))
    engine = backend.migrating()
    with engine.begin() as connection:
        connection.execute(tables.sessions.insert().values(**session_row))
        connection.execute(tables.runs.insert().values(**run_row))
    engine.dispose()


def test_migrations_and_tables_agree(backend: Backend) -> None:
    bring_up_to_date(backend)
    engine = backend.migrating()
    options = {
        "compare_type": True,
        "compare_server_default": True,
        "version_table": migrations.VERSION_TABLE,
        "include_object": lambda thing, *_: getattr(thing, "schema", None) is None,
    }
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_indexes_of_some_rows_are_of_those_that_the_tables_say(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path / "licet.db")
    backend.prepare()
    bring_up_to_date(backend)
    said = {
        index.name: index.info["where"]
        for table in tables.metadata.tables.values()
        for index in table.indexes
        if index.info
    }
    engine = backend.migrating()
    with engine.connect() as connection:
        # Neither SQLAlchemy nor Alembic compares these.
        rows = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index'"
        )
        made = {name: sql.partition(" WHERE ")[2] for name, sql in rows if sql}
    engine.dispose()
    assert len(said) == 3
    assert said == {name: where for name, where in made.items() if where}


def test_the_comparison_would_see_a_difference(backend: Backend) -> None:
    bring_up_to_date(backend)
    engine = backend.migrating()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX licet_runs_of_session")
        connection.exec_driver_sql("ALTER TABLE licet_sessions ADD COLUMN extra INTEGER")
        context = MigrationContext.configure(
            connection, opts={"version_table": migrations.VERSION_TABLE}
        )
        found = {difference[0] for difference in compare_metadata(context, tables.metadata)}
    engine.dispose()
    assert found == {"add_index", "remove_column"}


def test_rows_and_tables_agree() -> None:
    assert tuple(tables.sessions.c.keys()) == codec.SESSION_COLUMNS
    assert tuple(tables.runs.c.keys()) == (*codec.RUN_COLUMNS, "cancel_asked_at_us")
    assert tuple(tables.approvals.c.keys()) == approval_codec.APPROVAL_COLUMNS
    assert tuple(tables.schedules.c.keys()) == schedule_codec.SCHEDULE_COLUMNS
    assert tuple(tables.schedule_runs.c.keys()) == schedule_codec.SCHEDULE_RUN_COLUMNS
    assert tuple(tables.jobs.c.keys()) == work_codec.JOB_COLUMNS
    assert tuple(tables.once.c.keys()) == work_codec.ONCE_COLUMNS
    assert tuple(tables.executors.c.keys()) == work_codec.EXECUTOR_COLUMNS
    assert tuple(tables.revocations.c.keys()) == trust_codec.REVOCATION_COLUMNS
    assert tuple(tables.service_accounts.c.keys()) == trust_codec.SERVICE_ACCOUNT_COLUMNS
    assert tuple(tables.audit.c.keys()) == audit_codec.RECORD_COLUMNS
    assert tuple(tables.audit_writers.c.keys()) == audit_codec.WRITER_COLUMNS
    assert tuple(tables.audit_batches.c.keys()) == audit_codec.BATCH_COLUMNS
    types = {column.name: str(column.type) for column in tables.audit.c}
    assert types == audit_codec.RECORD_TYPES


def test_the_newest_revision_is_the_one_that_is_named() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert script.get_heads() == [migrations.HEAD]


def test_a_new_database_gets_the_newest_revision(backend: Backend) -> None:
    assert backend.revision() is None
    bring_up_to_date(backend)
    assert backend.revision() == migrations.HEAD
    bring_up_to_date(backend)
    assert backend.revision() == migrations.HEAD


def test_a_database_of_the_first_revision_keeps_its_rows_and_can_be_followed(
    backend: Backend, url: str
) -> None:
    bring_up_to(backend, "0001")
    assert backend.revision() == "0001"
    record, kept = run(), session()
    insert_before_executors(backend, kept, record)

    async def use() -> None:
        db = db_of(url)
        await db.open()
        assert await everything(db) == [kept, record]
        assert await db.trust().changes(after=0) == TrustChanges(number=0)
        await db.trust().add_revocations([revocation()])
        assert await db.watch(TRUST_TOPIC, after=0, timeout_seconds=30) == 1
        await db.close()

    asyncio.run(use())
    assert backend.revision() == migrations.HEAD


def test_a_database_of_the_second_revision_keeps_its_trust_and_can_be_audited(
    backend: Backend, url: str
) -> None:
    bring_up_to(backend, "0002")
    row = trust_codec.revocation_row(given := revocation(change_number=0))
    engine = backend.migrating()
    with engine.begin() as connection:
        connection.execute(
            tables.revocations.insert().values(
                **dict(zip(trust_codec.REVOCATION_COLUMNS, row, strict=True))
            )
        )
    engine.dispose()

    async def use() -> None:
        db = db_of(url)
        await db.open()
        assert (await db.trust().changes(after=-1)).revocations == (given,)
        assert await db.audit().last_writer() is None
        _, of = await append(db, records(1, 3))
        assert await all_records(db) == of
        await db.close()

    asyncio.run(use())
    assert backend.revision() == migrations.HEAD


def test_a_database_of_the_third_revision_keeps_its_runs_and_can_be_worked_on(
    backend: Backend, url: str
) -> None:
    bring_up_to(backend, "0003")
    record, kept = run(), session()
    insert_before_executors(backend, kept, record)

    async def use() -> None:
        db = db_of(url)
        await db.open()
        assert await everything(db) == [kept, record]
        assert await db.work().foreground_runs_of(None) == [record]
        queued = await enqueued(db, "other")
        taken = await claimed(db)
        assert taken is not None
        assert taken.run.run_id == queued.run_id
        assert await db.watch(WORK_TOPIC, after=-1, timeout_seconds=0) == 0
        await db.work().raise_work()
        assert await db.watch(WORK_TOPIC, after=0, timeout_seconds=30) == 1
        done = replace(record, status=RunStatus.COMPLETED)
        assert await db.store(ALICE).save_run(done, session_state=None) is Saving.SAVED
        await db.close()

    asyncio.run(use())
    assert backend.revision() == migrations.HEAD


def test_a_database_of_the_fifth_revision_keeps_its_rows_and_can_have_schedules(
    backend: Backend, url: str
) -> None:
    bring_up_to(backend, "0005")
    record, kept = run(), session()
    insert_before_executors(backend, kept, record)

    async def use() -> None:
        db = db_of(url)
        await db.open()
        assert await everything(db) == [kept, record]
        assert await db.watch(SCHEDULE_TOPIC, after=-1, timeout_seconds=0) == 0
        schedule = await made(db)
        assert await db.watch(SCHEDULE_TOPIC, after=0, timeout_seconds=30) == 1
        assert await db.schedules(ALICE).begin_run(attempt(schedule)) is not None
        await db.close()

    asyncio.run(use())
    assert backend.revision() == migrations.HEAD


def test_a_database_of_the_fifth_revision_keeps_its_runs_and_they_can_pause(
    backend: Backend, url: str
) -> None:
    bring_up_to(backend, "0005")
    record, kept = run(executor_id="e", durable=True), session()
    insert(backend, kept, record)

    async def use() -> None:
        db = db_of(url)
        await db.open()
        assert await everything(db) == [kept, record]
        waits = await pause(db, record, [approval(record, "a")])
        assert await db.store(ALICE).find_run(record.run_id) == waits
        assert await db.approvals().resolve("a", decision())
        assert await claimed_id(db) == record.run_id
        await db.close()

    asyncio.run(use())
    assert backend.revision() == migrations.HEAD


def test_a_database_of_the_sixth_revision_keeps_what_waits(backend: Backend, url: str) -> None:
    bring_up_to(backend, "0006")
    record, kept = run(status=RunStatus.PAUSED, durable=True), session()
    insert(backend, kept, record)
    wanted, job = approval(record, "a"), job_of(record)
    rows = (
        (tables.jobs, work_codec.JOB_COLUMNS, work_codec.job_row(job, owner=record.owner)),
        (tables.approvals, approval_codec.APPROVAL_COLUMNS, approval_codec.approval_row(wanted)),
    )
    engine = backend.migrating()
    with engine.begin() as connection:
        for table, columns, row in rows:
            connection.execute(table.insert().values(**dict(zip(columns, row, strict=True))))
    engine.dispose()

    async def use() -> None:
        db = db_of(url)
        await db.open()
        assert list(await db.approvals().of_run(record.run_id)) == [wanted]
        assert await db.approvals().resolve("a", decision(approved=False))
        one = await claimed(db)
        assert one is not None
        assert one.job == job
        await db.close()

    asyncio.run(use())
    assert backend.revision() == migrations.HEAD


def test_a_database_of_the_seventh_revision_keeps_its_sessions_and_is_asked_for_a_users(
    backend: Backend, url: str
) -> None:
    bring_up_to(backend, "0007")
    record, kept = run(), session(user_id="alice")
    insert(backend, kept, record)

    async def use() -> None:
        db = db_of(url)
        await db.open()
        assert await everything(db) == [kept, record]
        of_alice = await db.store(ADMIN).list_sessions(SessionQuery(user_id="alice"))
        assert of_alice.sessions == (kept,)
        await db.close()

    asyncio.run(use())
    assert backend.revision() == migrations.HEAD


def test_a_database_of_a_newer_version_is_refused_and_left_alone(backend: Backend) -> None:
    bring_up_to_date(backend)
    set_revision(backend, "9999")
    with pytest.raises(StorageError, match=r"'9999'.*upgrade licet"):
        bring_up_to_date(backend)
    assert backend.revision() == "9999"


def test_tables_of_that_name_that_are_not_ours_are_refused(backend: Backend) -> None:
    engine = backend.migrating()
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE licet_runs (mine INTEGER)")
    engine.dispose()
    with pytest.raises(StorageError, match="licet_runs"):
        bring_up_to_date(backend)
    # Wholly or not at all: no half of a migration stays.
    assert backend.revision() is None


def test_processes_that_start_together_on_a_new_database_all_open_it(url: str) -> None:
    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", OPEN, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    processes = [start() for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outcomes = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, said = process.communicate(timeout=60)
        outcomes.append((process.returncode, said))
    assert outcomes == [(0, "")] * 4
