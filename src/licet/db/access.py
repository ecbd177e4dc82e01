"""The rules of access that every store asks before it looks at a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from licet.db.approval_records import ApprovalRecord
from licet.db.base import NOBODY, Access
from licet.db.codec import storable
from licet.db.records import RunRecord, RunStatus, SessionKey, SessionRecord
from licet.db.run_states import FIRST
from licet.db.work_records import JobRecord, Once
from licet.errors import InvalidInputError, NotFoundError

THE_SERVER: Final = Access(NOBODY, sees_all=True)
"""The server itself, which works on everybody's runs and never on behalf of a caller."""


def require_reach(access: Access, session: SessionRecord) -> None:
    """Refuse to write a session for somebody whom the access does not reach.

    Raises:
        NotFoundError: the owner is not reached.
    """
    if not access.reaches(session.owner):
        raise NotFoundError("session", session.session_id)


def require_same_session(session: SessionRecord, run: RunRecord) -> None:
    """Refuse to begin a run in a session that is not its own.

    Raises:
        InvalidInputError: the run names another session.
    """
    if run.session_key != session.key:
        raise InvalidInputError("run", "expected the owner and the session_id of its session")


def require_own_request(access: Access, once: Once | None) -> None:
    """Refuse to note a request as that of somebody whom the access does not reach.

    Raises:
        InvalidInputError: the owner is not reached.
    """
    if once is not None and not access.reaches(once.owner):
        raise InvalidInputError("once", "expected an owner whom this access reaches")


def require_first_state(run: RunRecord) -> None:
    """Refuse to begin a run in a state that it has to get into, or one that has to be enqueued.

    Raises:
        InvalidInputError: no run begins in that state.
    """
    if run.status not in FIRST:
        raise InvalidInputError("status", f"expected one of {', '.join(sorted(FIRST))}")
    if run.durable and run.status is RunStatus.PENDING:
        raise InvalidInputError("durable", "expected a job, with which a durable run is enqueued")


def require_queueable(run: RunRecord, job: JobRecord) -> None:
    """Refuse to enqueue what no process could claim.

    Raises:
        InvalidInputError: it is not durable, does not wait, or the job is another run's.
    """
    if not run.durable or run.status is not RunStatus.PENDING or run.executor_id is not None:
        raise InvalidInputError("run", "expected a durable run, PENDING, that nobody works on")
    if job.run_id != run.run_id:
        raise InvalidInputError("job", "expected the run_id of its run")


def require_working(run: RunRecord) -> None:
    """Refuse to work on a run that is not to be RUNNING.

    Raises:
        InvalidInputError: it is in another state.
    """
    if run.status is not RunStatus.RUNNING:
        raise InvalidInputError("status", "expected RUNNING")


def require_paused(
    run: RunRecord, job: JobRecord | None, approvals: Sequence[ApprovalRecord]
) -> None:
    """Refuse to pause a run that is not to be PAUSED, or with what is not its own.

    Raises:
        InvalidInputError: it is in another state, or something is another run's.
    """
    if run.status is not RunStatus.PAUSED:
        raise InvalidInputError("status", "expected PAUSED")
    if job is not None and job.run_id != run.run_id:
        raise InvalidInputError("job", "expected the run_id of its run")
    for each in approvals:
        if (each.run_id, each.owner, each.session_id) != (run.run_id, *run.session_key):
            raise InvalidInputError("approvals", "expected those of the run")


def require_going_on(run: RunRecord) -> None:
    """Refuse to let a run go on as nobody could work on it.

    Raises:
        InvalidInputError: it is neither RUNNING nor durable and PENDING.
    """
    waits = run.status is RunStatus.PENDING and run.durable and run.executor_id is None
    if not waits and run.status is not RunStatus.RUNNING:
        raise InvalidInputError("run", "expected RUNNING, or PENDING, durable and of no executor")


def may_exist(access: Access, key: SessionKey) -> bool:
    """Whether a row of that key can exist for the access."""
    return access.reaches(key.owner) and storable(*key)
