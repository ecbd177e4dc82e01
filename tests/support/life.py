"""What any life of runs is watched by: each move of each run, as the database itself notes it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from licet.db.records import RunStatus
from licet.db.run_states import may_follow
from licet.runs.runner import Runner

_NOTES = """
CREATE TABLE noted (run_id TEXT, before TEXT, after TEXT);
CREATE TRIGGER noting AFTER UPDATE OF status ON licet_runs WHEN OLD.status <> NEW.status
BEGIN INSERT INTO noted VALUES (NEW.run_id, OLD.status, NEW.status); END
"""


def note_moves(file: Path) -> None:
    """Have a database note each move of each run, from now on."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(_NOTES)


def check_moves(file: Path) -> None:
    """Whether each move of each run was one that may be."""
    with closing(sqlite3.connect(file)) as connection:
        noted = connection.execute("SELECT run_id, before, after FROM noted").fetchall()
    for run_id, *move in noted:
        before, after = map(RunStatus, move)
        # A claim is undone as if it had not been: the one move back.
        undone = (before, after) == (RunStatus.RUNNING, RunStatus.PENDING)
        assert undone or may_follow(before, after), (run_id, before, after)


async def crash(runner: Runner) -> None:
    """As ``kill -9``: nothing is stored any more, and nobody is told that it ended."""
    await runner._cancels.close()
    if runner.schedules is not None:
        await runner.schedules.close()
    for desk in runner.desks.values():
        await desk.stop_taking()
        desk.executor._stop.set()
    left = dict(runner.foreground._tasks)
    for task, run in left.items():
        run.leave()
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    if runner.durable is not None:
        await runner.durable.close(grace_seconds=0)
