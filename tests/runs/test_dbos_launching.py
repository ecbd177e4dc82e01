"""The real engine: how it comes and goes, and that it is one a process."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import create_engine

from licet.db.sqlite import SqliteDb
from licet.db.steps_database import StepsDatabase
from licet.errors import ConfigurationError, StorageError
from licet.runs import dbos_engine
from licet.runs.dbos_engine import DbosEngine
from licet.runs.engine import WorkflowState
from tests.support.dbos import db, ended, idle, launched, locked, rows, until

__all__ = ["db"]


async def test_a_second_engine_in_one_process_is_refused_until_the_first_has_ended(
    db: SqliteDb, tmp_path: Path
) -> None:
    other = SqliteDb(tmp_path / "other.db")
    second = DbosEngine(other, executor_id="p2")
    async with launched(db, idle) as engine:
        with pytest.raises(ConfigurationError, match="another AgentOS of this process"):
            await second.launch(cast("Any", idle))
        # It did no harm to the first, not even by being closed.
        await second.close()
        await engine.start("r", "main")
        await ended(engine)
    async with launched(other, idle, executor_id="p2") as engine:
        assert await engine.state("r") is WorkflowState.UNKNOWN
        await engine.start("r2", "main")
        await ended(engine, "r2")
    assert rows(other, "SELECT workflow_uuid FROM workflow_status") == [("r2",)]
    assert rows(db, "SELECT workflow_uuid FROM workflow_status") == [("r",)]
    await other.close()


async def test_a_program_that_uses_the_library_itself_is_told_so_and_keeps_it(
    db: SqliteDb, tmp_path: Path
) -> None:
    from dbos import DBOS, _dbos

    theirs = DBOS(
        config={"name": "theirs", "system_database_url": f"sqlite:///{tmp_path / 'theirs.db'}"}
    )
    try:
        with pytest.raises(ConfigurationError, match="uses DBOS itself"):
            async with launched(db, idle):
                pass
        assert _dbos._dbos_global_instance is theirs
    finally:
        await asyncio.to_thread(DBOS.destroy)


class Away:
    """A database whose place for steps cannot be opened."""

    id = "away"

    def __init__(self, tmp_path: Path, *, at_once: bool) -> None:
        self._file = tmp_path / "there is no such folder" / "steps.db"
        self._at_once = at_once

    async def steps_database(self) -> StepsDatabase:
        if self._at_once:
            raise StorageError("away")
        return StepsDatabase(create_engine(f"sqlite:///{self._file}"), "", tells=False)


@pytest.mark.parametrize("at_once", [True, False], ids=["asked for it", "launched on it"])
async def test_a_launch_that_failed_leaves_nothing_behind(
    db: SqliteDb, tmp_path: Path, request: pytest.FixtureRequest, at_once: Any
) -> None:
    with pytest.raises(StorageError):
        async with launched(Away(tmp_path, at_once=at_once), idle, executor_id="p0"):
            pass
    # Neither its configuration, nor that it was half launched.
    async with launched(db, idle) as engine:
        await engine.start("r", "main")
        await ended(engine)
    assert rows(db, "SELECT executor_id FROM workflow_status") == [("p1",)]


@pytest.mark.parametrize("at", ["_prepare", "_launch"])
async def test_a_launch_that_is_cancelled_leaves_nothing_behind(
    db: SqliteDb, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), getattr(dbos_engine, at)

    def slowly(*args: object) -> object:
        begun.set()
        go_on.wait(10.0)
        return done(*args)

    with monkeypatch.context() as patch:
        patch.setattr(dbos_engine, at, slowly)
        launching = asyncio.create_task(DbosEngine(db, executor_id="p0").launch(cast("Any", idle)))
        await asyncio.to_thread(begun.wait, 10.0)
        launching.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await launching
    async with launched(db, idle) as engine:
        await engine.start("r", "main")
        await ended(engine)


async def test_the_loop_and_its_threads_serve_others_while_the_engine_comes_and_goes(
    db: SqliteDb,
) -> None:
    await db.open()
    over = asyncio.Event()
    served = 0

    async def serve_others() -> None:
        nonlocal served
        while not over.is_set():
            await asyncio.to_thread(int)
            served += 1

    async def until_served_again() -> None:
        before = served
        await until(lambda: served > before)

    serving = asyncio.ensure_future(serve_others())
    for round_ in range(3):
        async with launched(db, idle, executor_id=f"p{round_}") as engine:
            await engine.start(f"r{round_}", "main")
            await ended(engine, f"r{round_}")
            await until_served_again()
        await until_served_again()
    over.set()
    await asyncio.wait_for(serving, 5)


async def test_others_go_on_while_a_launch_waits_for_its_database(db: SqliteDb) -> None:
    async with launched(db, idle):
        pass
    engine = DbosEngine(db, executor_id="p2")

    async def work(run_id: str, db_id: str) -> None:
        """It does nothing."""

    with locked(db):
        launching = asyncio.ensure_future(engine.launch(work))
        await until(lambda: engine._library is not None)
        # The loop that would be stopped is the one that this runs on.
        for _ in range(20):
            await asyncio.to_thread(int)
        assert not launching.done()
    await asyncio.wait_for(launching, 60)
    await engine.close()
