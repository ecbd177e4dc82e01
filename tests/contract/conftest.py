"""Every test of this folder runs against every Db."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.sqlite import SqliteDb
from tests.support.postgres import ROLE, ROW_ROLE, EmbeddedPostgres, postgres_server
from tests.support.schema import Schema, kept_schema

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
def plain_schema(postgres_server: EmbeddedPostgres) -> Iterator[Schema]:
    """A schema as it is by default."""
    with kept_schema(postgres_server) as schema:
        yield schema


@pytest.fixture(scope="session")
def guarded_schema(postgres_server: EmbeddedPostgres) -> Iterator[Schema]:
    """A schema with row-level security."""
    postgres_server.create_role_within(ROW_ROLE, member=ROLE)
    with kept_schema(postgres_server, guarded=True) as schema:
        yield schema


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which Db a test runs against."""
    return cast("str", request.param)


@pytest.fixture
def schema(kind: str, request: pytest.FixtureRequest) -> Schema | None:
    """The schema of a kind that has one, empty."""
    if not kind.startswith("postgres"):
        return None
    name = "plain_schema" if kind == "postgres" else "guarded_schema"
    schema = cast("Schema", request.getfixturevalue(name))
    schema.clear()
    return schema


@pytest.fixture
def new_db(
    kind: str, schema: Schema | None, request: pytest.FixtureRequest, tmp_path: Path
) -> MakeDb:
    """Makes a Db on one and the same empty database, as often as it is called."""
    if schema is not None:
        return schema.new_db
    if kind == "in_memory":
        db = InMemoryDb()
        return lambda: db
    path = tmp_path / "licet.db"
    shutil.copy(request.getfixturevalue("migrated_file"), path)
    return lambda: SqliteDb(path)


@pytest.fixture
async def db(new_db: MakeDb, schema: Schema | None) -> AsyncIterator[Db]:
    """An open and empty Db."""
    if schema is not None:
        await schema.db.open()
        yield schema.db
        await schema.settle()
        return
    db = new_db()
    await db.open()
    yield db
    await db.close()


async def _open_and_close(db: Db) -> None:
    await db.open()
    await db.close()
