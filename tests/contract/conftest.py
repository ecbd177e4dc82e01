"""Every test of this folder runs against every Db."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import psycopg
import pytest

from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from tests.support.postgres import (
    ROLE,
    ROW_ROLE,
    EmbeddedPostgres,
    fresh_schema,
    postgres_server,
)

__all__ = ["postgres_server"]

MakeDb = Callable[[], Db]
KINDS = ("in_memory", "sqlite", "postgres", "postgres_with_row_level_security")


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with tables and no rows, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "licet.db"
    asyncio.run(_open_and_close(SqliteDb(path)))
    return path


@pytest.fixture(scope="session")
def migrated_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A PostgreSQL schema with tables."""
    with fresh_schema(postgres_server) as url:
        asyncio.run(_open_and_close(PostgresDb(url)))
        yield url


@pytest.fixture(scope="session")
def guarded_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A PostgreSQL schema with tables and with row-level security."""
    postgres_server.create_role_within(ROW_ROLE, member=ROLE)
    with fresh_schema(postgres_server) as url:
        asyncio.run(_open_and_close(PostgresDb(url, row_level_security=True)))
        yield url


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which Db a test runs against."""
    return cast("str", request.param)


@pytest.fixture
def new_db(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeDb]:
    """Makes a Db on one and the same empty database, as often as it is called."""
    if kind == "in_memory":
        db = InMemoryDb()
        yield lambda: db
    elif kind == "sqlite":
        path = tmp_path / "licet.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        yield lambda: SqliteDb(path)
    else:
        guarded = kind != "postgres"
        url = request.getfixturevalue("guarded_url" if guarded else "migrated_url")
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            connection.execute(
                "TRUNCATE licet_sessions, licet_runs, licet_revocations, licet_service_accounts, "
                "licet_audit, licet_audit_writers, licet_audit_batches, "
                "licet_jobs, licet_once, licet_approvals, licet_executors, "
                "licet_schedules, licet_schedule_runs"
            )
        yield lambda: PostgresDb(url, row_level_security=guarded)


@pytest.fixture
async def db(new_db: MakeDb) -> AsyncIterator[Db]:
    """An open and empty Db."""
    db = new_db()
    await db.open()
    yield db
    await db.close()


async def _open_and_close(db: Db) -> None:
    await db.open()
    await db.close()
