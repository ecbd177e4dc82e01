"""A PostgreSQL schema with tables, and a Db on it that stays open from one test to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from licet.db.postgres import PostgresDb
from licet.db.tables import metadata
from licet.db.writes import Statement, Write
from tests.support.postgres import EmbeddedPostgres, fresh_schema

# The numbers of topics only ever rise, over tests too.
_KEPT = "licet_changes"
_NOTHING: Write[None] = Write(("", ""), (Statement("SELECT 1", ()),), lambda _: None)


@dataclass(frozen=True, slots=True)
class Schema:
    """Opening a Db takes several connections and looks at every table: more than most tests do."""

    url: str
    guarded: bool
    db: PostgresDb
    connection: psycopg.Connection[tuple[Any, ...]]

    def new_db(self) -> PostgresDb:
        """Another Db on it, as another process has one."""
        return PostgresDb(self.url, row_level_security=self.guarded)

    def clear(self) -> None:
        """Delete all rows. A table that is empty costs next to nothing, other than TRUNCATE."""
        with self.connection.transaction():
            self.connection.execute(_DELETE_ALL)

    async def settle(self) -> None:
        """Wait until everything is committed that a test left behind."""
        await self.db.write(_NOTHING)


@contextmanager
def kept_schema(server: EmbeddedPostgres, *, guarded: bool = False) -> Iterator[Schema]:
    """A schema of its own; ``guarded``: with row-level security."""
    with fresh_schema(server) as url:
        db = PostgresDb(url, row_level_security=guarded)
        asyncio.run(db.open())
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            yield Schema(url, guarded, db, connection)
        asyncio.run(db.close())


def _deleting() -> Composed:
    tables = [table.name for table in reversed(metadata.sorted_tables) if table.name != _KEPT]
    return SQL("; ").join(SQL("DELETE FROM {}").format(Identifier(name)) for name in tables)


_DELETE_ALL = _deleting()
