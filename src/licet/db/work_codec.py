"""The rows of the run engine to records and back, in the order of the columns named here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from licet.db.codec import checked, text_of
from licet.db.records import RunRecord
from licet.db.work_records import ExecutorEnd, ExecutorRecord, JobRecord, Once

UNENDED_SQL = "status IN ('PENDING', 'RUNNING', 'PAUSED')"
"""The condition of the indexes of runs that have not ended.

A statement that is to use one has to hold it as it is: SQLite draws no conclusions.
"""

HAS_JOB_SQL = "EXISTS (SELECT 1 FROM licet_jobs WHERE licet_jobs.run_id = licet_runs.run_id)"
"""Whether a run could be claimed. Without, it would keep its session waiting for ever."""

EVER_SQL = "created_at_us >= 0"
"""The condition of the index of all runs by their age, which is for lists of them.

No statement that works on runs holds it: else a planner might look for the next run to work on
among all that ever were.
"""

JOB_COLUMNS = ("run_id", "owner", "principal_key", "request", "snapshot", "created_at_us")
ONCE_COLUMNS = (
    "owner",
    "route",
    "key",
    "digest",
    "run_id",
    "session_owner",
    "session_id",
    "created_at_us",
)
EXECUTOR_COLUMNS = ("id", "started_at_us", "beats", "ended", "settled")

_INDEXED = frozenset({"owner", "route", "key", "run_id", "session_id", "id"})


def job_row(job: JobRecord, *, owner: str) -> tuple[Any, ...]:
    """A job's values; ``owner`` is that of its run.

    Raises:
        StorageError: a text or a number of it cannot be stored.
    """
    name = f"run {job.run_id!r}: the"
    row = (
        job.run_id,
        owner,
        job.principal_key,
        text_of(job.request, f"{name} request"),
        None if job.snapshot is None else text_of(job.snapshot, f"{name} snapshot"),
        job.created_at_us,
    )
    return checked(row, JOB_COLUMNS, indexed=_INDEXED)


def job_record(row: Sequence[Any]) -> JobRecord:
    """A row of jobs as a record."""
    return JobRecord(
        run_id=row[0],
        principal_key=row[2],
        request=row[3].encode(),
        snapshot=None if row[4] is None else row[4].encode(),
        created_at_us=row[5],
    )


def once_row(once: Once, run: RunRecord) -> tuple[Any, ...]:
    """The values of a request and of the run that it begins.

    Raises:
        StorageError: a text or a number of it cannot be stored.
    """
    asked = (once.owner, once.route, once.key, once.digest)
    row = (*asked, run.run_id, *run.session_key, once.created_at_us)
    return checked(row, ONCE_COLUMNS, indexed=_INDEXED)


def executor_row(executor: ExecutorRecord) -> tuple[Any, ...]:
    """An executor's values.

    Raises:
        StorageError: a text or a number of it cannot be stored.
    """
    ended = None if executor.ended is None else executor.ended.value
    row = (executor.id, executor.started_at_us, executor.beats, ended, int(executor.settled))
    return checked(row, EXECUTOR_COLUMNS, indexed=_INDEXED)


def executor_record(row: Sequence[Any]) -> ExecutorRecord:
    """A row of executors as a record."""
    return ExecutorRecord(
        id=row[0],
        started_at_us=row[1],
        beats=row[2],
        ended=None if row[3] is None else ExecutorEnd(row[3]),
        settled=bool(row[4]),
    )


def check_executor_id(executor_id: str) -> None:
    """Refuse the name of a process that no row could hold.

    Raises:
        StorageError: it is such.
    """
    checked((executor_id,), ("id",), indexed=_INDEXED)


def check_time(now_us: int) -> None:
    """Refuse a time that no row could hold.

    Raises:
        StorageError: it is such.
    """
    checked((now_us,), ("now_us",))
