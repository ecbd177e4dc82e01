"""Audit trails in real SQL databases."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from licet.db.sql_db import SqlDb
from licet.db.sqlite import SqliteDb
from tests.support.postgres import EmbeddedPostgres, postgres_server
from tests.support.schema import Schema, kept_schema

__all__ = ["postgres_server"]

MakeDb = Callable[[], SqlDb]


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with tables and no rows, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "licet.db"
    asyncio.run(_open_and_close(SqliteDb(path)))
    return path


@pytest.fixture(scope="session")
def kept(postgres_server: EmbeddedPostgres) -> Iterator[Schema]:
    """A PostgreSQL schema with tables."""
    with kept_schema(postgres_server) as schema:
        yield schema


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which database a test runs against."""
    return cast("str", request.param)


@pytest.fixture
def schema(kind: str, request: pytest.FixtureRequest) -> Schema | None:
    """The schema of a kind that has one, empty."""
    if kind == "sqlite":
        return None
    schema = cast("Schema", request.getfixturevalue("kept"))
    schema.clear()
    return schema


@pytest.fixture
def new_db(schema: Schema | None, request: pytest.FixtureRequest, tmp_path: Path) -> MakeDb:
    """Makes a Db on one and the same empty database, as often as it is called."""
    if schema is not None:
        return schema.new_db
    path = tmp_path / "licet.db"
    shutil.copy(request.getfixturevalue("migrated_file"), path)
    return lambda: SqliteDb(path)


@pytest.fixture
async def db(new_db: MakeDb, schema: Schema | None) -> AsyncIterator[SqlDb]:
    """An open and empty database."""
    if schema is not None:
        await schema.db.open()
        yield schema.db
        await schema.settle()
        return
    db = new_db()
    await db.open()
    yield db
    await db.close()


async def _open_and_close(db: SqlDb) -> None:
    await db.open()
    await db.close()
