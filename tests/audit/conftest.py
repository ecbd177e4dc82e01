"""Audit trails in real SQL databases."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import psycopg
import pytest

from licet.db.postgres import PostgresDb
from licet.db.sql_db import SqlDb
from licet.db.sqlite import SqliteDb
from tests.support.postgres import EmbeddedPostgres, fresh_schema, postgres_server

__all__ = ["postgres_server"]

MakeDb = Callable[[], SqlDb]


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


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which database a test runs against."""
    return cast("str", request.param)


@pytest.fixture
def new_db(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> MakeDb:
    """Makes a Db on one and the same empty database, as often as it is called."""
    if kind == "sqlite":
        path = tmp_path / "licet.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        return lambda: SqliteDb(path)
    url = request.getfixturevalue("migrated_url")
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("TRUNCATE licet_audit, licet_audit_writers, licet_audit_batches")
    return lambda: PostgresDb(url)


@pytest.fixture
async def db(new_db: MakeDb) -> AsyncIterator[SqlDb]:
    """An open and empty database."""
    db = new_db()
    await db.open()
    yield db
    await db.close()


async def _open_and_close(db: SqlDb) -> None:
    await db.open()
    await db.close()
