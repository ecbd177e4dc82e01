"""The real engine on a SQLite file. It is one a process: what is launched ends with the block."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from licet.db.sqlite import SqliteDb
from licet.db.steps_database import Lasting
from licet.runs.dbos_engine import DbosEngine
from licet.runs.engine import WorkflowState
from tests.support.sqlite import migrated

Body = Callable[[DbosEngine, str], Coroutine[Any, Any, None]]


@asynccontextmanager
async def launched(db: object, work: Body, *, executor_id: str = "p1") -> AsyncIterator[DbosEngine]:
    """An engine at work, until the block ends."""
    engine = DbosEngine(cast("Lasting", db), executor_id=executor_id)

    async def work_on(run_id: str, db_id: str) -> None:
        await work(engine, run_id)

    await engine.launch(work_on)
    try:
        yield engine
    finally:
        await engine.close()


async def ended(engine: DbosEngine, run_id: str = "r") -> None:
    """Wait until a run has ended."""
    async with asyncio.timeout(30):
        while await engine.state(run_id) is not WorkflowState.ENDED:  # noqa: ASYNC110 - its state
            await asyncio.sleep(0.02)


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.01)


async def idle(_engine: DbosEngine, _run_id: str) -> None:
    """Work that does nothing."""


def rows(db: SqliteDb, sql: str) -> list[Any]:
    """What stands in the engine's own tables."""
    file = db.db_file.with_name(f"{db.db_file.stem}-steps.db")
    connection = sqlite3.connect(file, timeout=10)
    try:
        with connection:
            return connection.execute(sql).fetchall()
    finally:
        connection.close()


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[SqliteDb]:
    """A database beside which the engine keeps its steps."""
    made = SqliteDb(migrated(tmp_path / "licet.db"))
    yield made
    await made.close()


@contextmanager
def locked(db: SqliteDb) -> Iterator[None]:
    """Nobody else can write the engine's file."""
    file = db.db_file.with_name(f"{db.db_file.stem}-steps.db")
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()
