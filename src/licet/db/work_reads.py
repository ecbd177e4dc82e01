"""The reads of the run engine, in SQLAlchemy Core. They see everybody's runs.

Those of runs hold the condition of the index of unended runs: their cost does not grow with the
runs that have ended.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, TextClause, func, or_, select, text

from licet.db.codec import RUN_COLUMNS
from licet.db.records import RunStatus
from licet.db.tables import executors, jobs, runs
from licet.db.work_codec import EXECUTOR_COLUMNS, JOB_COLUMNS, UNENDED_SQL

_MAX_RUNS = 1000


def unsettled_executors() -> Select[Any]:
    """Those that may live, and those of which something is left to see to."""
    return (
        select(*[executors.c[name] for name in EXECUTOR_COLUMNS])
        .where(or_(executors.c.ended.is_(None), executors.c.settled == 0))
        .order_by(executors.c.started_at_us, executors.c.id)
    )


def running_runs(executor_id: str | None, *, durable: bool) -> Select[Any]:
    """The first of the runs that an executor is at work on, oldest first."""
    return (
        select(*[runs.c[name] for name in RUN_COLUMNS])
        .where(*_at_work(executor_id), runs.c.durable == int(durable))
        .order_by(runs.c.created_at_us, runs.c.run_id)
        .limit(_MAX_RUNS)
    )


def runs_to_cancel(executor_id: str) -> Select[Any]:
    """The ids of the runs of an executor that were asked to stop, the oldest run's first."""
    return (
        select(runs.c.run_id)
        .where(*_at_work(executor_id), runs.c.cancel_asked_at_us.is_not(None))
        .order_by(runs.c.created_at_us, runs.c.run_id)
    )


def one_job(run_id: str) -> Select[Any]:
    """The job of a run."""
    return select(*[jobs.c[name] for name in JOB_COLUMNS]).where(jobs.c.run_id == run_id)


def waiting_count() -> Select[Any]:
    """How many durable runs wait."""
    return (
        select(func.count())
        .select_from(runs)
        .where(*_unended(RunStatus.PENDING), runs.c.durable == 1)
    )


def _at_work(executor_id: str | None) -> list[ColumnElement[bool] | TextClause]:
    # IS NULL where it is None.
    return [*_unended(RunStatus.RUNNING), runs.c.executor_id == executor_id]


def _unended(status: RunStatus) -> list[ColumnElement[bool] | TextClause]:
    return [text(UNENDED_SQL), runs.c.status == status.value]
