"""The writes of runs, as fixed lists of statements. Every statement carries the owner.

A statement that changes a run's state asks for the states that may come before, and for who works
on the run: nothing is read first and written later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from licet.db.approval_records import ApprovalRecord
from licet.db.approval_writes import UNDECIDED_SQL, check_approvals, insert_approvals
from licet.db.codec import (
    RUN_COLUMNS,
    json_text,
    run_row,
    session_record,
    session_row,
    within_columns,
)
from licet.db.once_writes import check_first, first_statements
from licet.db.records import BegunRun, RunRecord, RunStatus, SessionKey, SessionRecord
from licet.db.run_states import saved_from
from licet.db.work_codec import HAS_JOB_SQL, JOB_COLUMNS, job_row
from licet.db.work_records import JobRecord, Once
from licet.db.writes import (
    INSERT_SESSION,
    SELECT_SESSION,
    Answer,
    ContentionError,
    Statement,
    Write,
    insert_beside_run,
    insert_unless_known,
    lock_session,
)
from licet.errors import ConflictError, LicetError

_INSERT_RUN = insert_unless_known("licet_runs", RUN_COLUMNS, "run_id")
_INSERT_JOB = insert_unless_known("licet_jobs", JOB_COLUMNS, "run_id")
_LEAVE_JOB = insert_beside_run("licet_jobs", JOB_COLUMNS, "run_id")
_SELECT_HISTORY = (
    "SELECT body FROM licet_runs "
    "WHERE owner = ? AND session_id = ? AND component_id = ? AND status = ? AND run_id <> ? "
    "ORDER BY created_at_us DESC, run_id DESC LIMIT ?"
)
_ASK_TO_CANCEL = (
    "UPDATE licet_runs SET cancel_asked_at_us = COALESCE(cancel_asked_at_us, ?) "
    "WHERE run_id = ? AND owner = ? AND session_id = ? AND status = 'RUNNING'"
)


def _which(after: RunStatus) -> str:
    # The values stand in the text, as they do in the condition of the index of unended runs. NULL:
    # where no state may come before, none does.
    before = ", ".join(f"'{status.value}'" for status in saved_from(after)) or "NULL"
    return (
        "run_id = ? AND owner = ? AND session_id = ? "
        f"AND status IN ({before}) AND COALESCE(executor_id, '') = ?"
    )


_TOUCH_SESSION: Mapping[RunStatus, str] = {
    after: "UPDATE licet_sessions SET session_state = COALESCE(?, session_state), "  # noqa: S608 - constants
    "updated_at_us = CASE WHEN updated_at_us < ? THEN ? ELSE updated_at_us END "
    "WHERE owner = ? AND session_id = ? "
    f"AND EXISTS (SELECT 1 FROM licet_runs WHERE {_which(after)})"
    for after in RunStatus
}
_UPDATE_RUN: Mapping[RunStatus, str] = {
    after: "UPDATE licet_runs SET status = ?, body = ?, total_tokens = ?, updated_at_us = ? "  # noqa: S608 - constants
    f"WHERE {_which(after)}"
    for after in RunStatus
}

_PAUSE_RUN = (
    "UPDATE licet_runs SET status = ?, body = ?, total_tokens = ?, updated_at_us = ?, "  # noqa: S608 - constants
    f"executor_id = NULL WHERE {_which(RunStatus.PAUSED)} AND cancel_asked_at_us IS NULL"
)
_GO_ON = (
    "UPDATE licet_runs SET status = ?, body = ?, updated_at_us = ?, executor_id = ?, durable = ? "  # noqa: S608 - constants
    "WHERE run_id = ? AND owner = ? AND session_id = ? AND status = 'PAUSED' "
    f"AND updated_at_us = ? AND NOT EXISTS ({UNDECIDED_SQL})"
)
_CONTINUE_RUN: Mapping[RunStatus, str] = {
    RunStatus.RUNNING: _GO_ON,
    RunStatus.PENDING: f"{_GO_ON} AND {HAS_JOB_SQL}",
}


class NotPausedError(LicetError):
    """The run could not be paused: nothing of it was written."""


def begin_run(
    session: SessionRecord, run: RunRecord, *, history_runs: int, once: Once | None = None
) -> Write[BegunRun]:
    """Insert a run, and its session where there is none; read the session and its history."""
    asking = first_statements(once, run)
    statements = (
        Statement(INSERT_SESSION, session_row(session)),
        Statement(SELECT_SESSION, session.key),
        Statement(_INSERT_RUN, run_row(run)),
        *asking,
        *_history(run, history_runs),
    )

    def conclude(answers: Sequence[Answer]) -> BegunRun:
        _, found, inserted, *others = answers
        if not found.rows:
            raise ContentionError(f"session {session.session_id!r} was deleted meanwhile")
        check_first(once, run, others[: len(asking)])
        _check_inserted(run, inserted)
        return _begun(found, others[len(asking) :])

    return Write(session.key, statements, conclude)


def enqueue_run(
    session: SessionRecord, run: RunRecord, job: JobRecord, *, once: Once | None = None
) -> Write[None]:
    """Insert a run with its job, and its session where there is none."""
    statements = (
        Statement(INSERT_SESSION, session_row(session)),
        Statement(_INSERT_RUN, run_row(run)),
        Statement(_INSERT_JOB, job_row(job, owner=run.owner)),
        *first_statements(once, run),
    )

    def conclude(answers: Sequence[Answer]) -> None:
        _, inserted, _, *asked = answers
        check_first(once, run, asked)
        _check_inserted(run, inserted)

    return Write(session.key, statements, conclude)


def save_run(run: RunRecord, *, session_state: dict[str, Any] | None) -> Write[bool]:
    """Update a run that may get into its new state, and its session."""
    return Write(run.session_key, _reaching(run, session_state), _is_reached)


def work_on_run(run: RunRecord, *, history_runs: int) -> Write[BegunRun | None]:
    """Update a run that may get into its new state; read its session and its history."""
    reading = (Statement(SELECT_SESSION, run.session_key), *_history(run, history_runs))

    def conclude(answers: Sequence[Answer]) -> BegunRun | None:
        touched, updated, found, *history = answers
        return _begun(found, history) if _is_reached((touched, updated)) else None

    return Write(run.session_key, (*_reaching(run, None), *reading), conclude)


def pause_run(
    run: RunRecord,
    *,
    session_state: dict[str, Any] | None,
    job: JobRecord | None,
    approvals: Sequence[ApprovalRecord],
) -> Write[None]:
    """Update a run that may pause, and its session; insert what it waits for, and its job."""
    touching, updating = _reaching(run, session_state)
    pausing = Statement(_PAUSE_RUN, updating.parameters)
    row = () if job is None else job_row(job, owner=run.owner)
    leaving = [Statement(_LEAVE_JOB, (*row, run.run_id, *run.session_key))] if row else []

    def conclude(answers: Sequence[Answer]) -> None:
        touched, updated, *others = answers
        if updated.touched == 0:
            raise NotPausedError("the run may not pause any more")
        _is_reached((touched, updated))
        check_approvals(approvals, others[len(leaving) :])

    statements = (touching, pausing, *leaving, *insert_approvals(approvals))
    return Write(run.session_key, statements, conclude)


def continue_run(run: RunRecord, *, paused_at_us: int, history_runs: int) -> Write[BegunRun | None]:
    """Update a run that has paused, so that it goes on; read its session and its history."""
    row = dict(zip(RUN_COLUMNS, run_row(run), strict=True))
    reached = (*(row[n] for n in ("status", "body", "updated_at_us", "executor_id", "durable")),)
    going_on = Statement(
        _CONTINUE_RUN[run.status],
        (*reached, run.run_id, *run.session_key, within_columns(paused_at_us)),
    )
    reading = (Statement(SELECT_SESSION, run.session_key), *_history(run, history_runs))

    def conclude(answers: Sequence[Answer]) -> BegunRun | None:
        _, updated, found, *history = answers
        return _begun(found, history) if updated.touched > 0 else None

    return Write(run.session_key, (lock_session(run.session_key), going_on, *reading), conclude)


def ask_to_cancel(key: SessionKey, run_id: str, *, now_us: int) -> Write[bool]:
    """Note on a run at work that it is to stop."""
    asking = Statement(_ASK_TO_CANCEL, (now_us, run_id, *key))
    return Write(key, (lock_session(key), asking), lambda answers: answers[1].touched > 0)


def _reaching(run: RunRecord, session_state: dict[str, Any] | None) -> tuple[Statement, Statement]:
    key = run.session_key
    state = None if session_state is None else json_text(session_state, "session_state")
    row = dict(zip(RUN_COLUMNS, run_row(run), strict=True))
    now = row["updated_at_us"]
    which = (run.run_id, *key, run.executor_id or "")
    reached = (row["status"], row["body"], row["total_tokens"], now)
    return (
        Statement(_TOUCH_SESSION[run.status], (state, now, now, *key, *which)),
        Statement(_UPDATE_RUN[run.status], (*reached, *which)),
    )


def _is_reached(answers: Sequence[Answer]) -> bool:
    touched, updated = answers
    # Between the two statements another process changed the run: both happen, or neither.
    if touched.touched != updated.touched:
        raise ContentionError("the run was changed meanwhile")
    return updated.touched > 0


def _history(run: RunRecord, history_runs: int) -> tuple[Statement, ...]:
    if history_runs <= 0:
        return ()
    completed = RunStatus.COMPLETED.value
    which = (*run.session_key, run.component_id, completed, run.run_id, history_runs)
    return (Statement(_SELECT_HISTORY, which),)


def _check_inserted(run: RunRecord, inserted: Answer) -> None:
    if inserted.touched == 0:
        raise ConflictError(f"a run {run.run_id!r} exists already")


def _begun(session: Answer, history: Sequence[Answer]) -> BegunRun:
    bodies = history[0].rows if history else ()
    return BegunRun(
        session=session_record(session.rows[0]),
        history=tuple(row[0].encode() for row in reversed(bodies)),
    )
