"""Taking the next durable run out of the queue: one write, in one transaction.

Its first statement takes the row of the topic in ``licet_changes``, which stays locked up to the
commit. So the claims of all processes go one after the other, and what one has counted does not
change under it: beside it runs end, wait again, or go on after a pause.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from licet.db.codec import MAX_INTEGER, RUN_COLUMNS, run_record, storable, within_columns
from licet.db.work_codec import (
    JOB_COLUMNS,
    UNENDED_SQL,
    check_executor_id,
    check_time,
    job_record,
)
from licet.db.work_records import WORK_TOPIC, ClaimedRun, QueueLimits
from licet.db.work_writes import WORK_KEY
from licet.db.writes import Answer, Statement, Write, lock_topic

_LOCK = lock_topic(WORK_TOPIC)

_BUSY = f"busy.{UNENDED_SQL} AND busy.status = 'RUNNING' AND busy.durable = 1"
_BUSY_SESSIONS = f"SELECT busy.owner, busy.session_id FROM licet_runs AS busy WHERE {_BUSY}"  # noqa: S608 - constants
_BUSY_COUNT = f"SELECT COUNT(*) FROM licet_runs AS busy WHERE {_BUSY}"  # noqa: S608 - constants
_BUSY_PRINCIPALS = (
    "SELECT theirs.principal_key FROM licet_runs AS busy "  # noqa: S608 - constants
    f"JOIN licet_jobs AS theirs ON theirs.run_id = busy.run_id WHERE {_BUSY} "
    "GROUP BY theirs.principal_key HAVING COUNT(*) >= ?"
)
# With its LIMIT a planner cannot make a join of it, which would compare each run of a long session
# with each of the others: it is looked up in the index, once for each run that is looked at.
_FIRST_OF_SESSION = (
    "SELECT first.run_id FROM licet_runs AS first "  # noqa: S608 - constants
    "WHERE first.owner = queued.owner AND first.session_id = queued.session_id "
    f"AND first.durable = 1 AND first.{UNENDED_SQL} AND first.status = 'PENDING' "
    "ORDER BY first.created_at_us, first.run_id LIMIT 1"
)
# Nobody works on what waits: with that the index has it in the order in which it is claimed.
_NEXT = (
    "SELECT queued.run_id FROM licet_runs AS queued "  # noqa: S608 - constants
    "JOIN licet_jobs AS job ON job.run_id = queued.run_id "
    f"WHERE queued.{UNENDED_SQL} AND queued.status = 'PENDING' AND queued.executor_id IS NULL "
    "AND queued.durable = 1 AND (queued.component_id IN ({agents}) OR queued.updated_at_us < ?) "
    f"AND (queued.owner, queued.session_id) NOT IN ({_BUSY_SESSIONS}) "
    f"AND job.principal_key NOT IN ({_BUSY_PRINCIPALS}) AND ({_BUSY_COUNT}) < ? "
    f"AND queued.run_id = ({_FIRST_OF_SESSION}) "
    "ORDER BY queued.created_at_us, queued.run_id LIMIT 1"
)
_JOB = ", ".join(
    f"(SELECT {name} FROM licet_jobs WHERE licet_jobs.run_id = licet_runs.run_id)"  # noqa: S608 - constants
    for name in JOB_COLUMNS
)


def claim(
    executor_id: str,
    *,
    agent_ids: Collection[str],
    unserved_before_us: int,
    limits: QueueLimits,
    now_us: int,
    passing_locked: Callable[[str], str],
) -> Write[ClaimedRun | None]:
    """Give the next run to an executor, and read it with its job.

    ``passing_locked`` is ``Backend.passing_locked``: what is being cancelled is not waited for.
    """
    check_executor_id(executor_id)
    check_time(now_us)
    served = [each for each in sorted(agent_ids) if storable(each)]
    # NULL is no agent's id: a list without any is no SQL.
    marks = ", ".join(("NULL", *"?" * len(served)))
    sql = (
        "UPDATE licet_runs SET status = 'RUNNING', executor_id = ?, updated_at_us = ? "  # noqa: S608 - constants
        f"WHERE run_id = ({_NEXT.format(agents=marks)} {passing_locked('queued')}) "
        f"RETURNING {', '.join(RUN_COLUMNS)}, {_JOB}"
    )
    per_principal, overall = _bound(limits.per_principal), _bound(limits.overall)
    # A principal without a run at work is in no group, so that nothing would be within this limit.
    if per_principal == 0:
        overall = 0
    which = (*served, within_columns(unserved_before_us), per_principal, overall)
    claiming = Statement(sql, (executor_id, now_us, *which))

    def conclude(answers: Sequence[Answer]) -> ClaimedRun | None:
        if not answers[1].rows:
            return None
        row = answers[1].rows[0]
        count = len(RUN_COLUMNS)
        return ClaimedRun(run=run_record(row[:count]), job=job_record(row[count:]))

    return Write(WORK_KEY, (_LOCK, claiming), conclude)


def _bound(limit: int | None) -> int:
    return MAX_INTEGER if limit is None else within_columns(max(0, limit))
