"""The writes of approvals, as fixed lists of statements.

A decision first locks the run, behind its session: of two decisions about one run, the second sees
what the first has written, so that one of them finds that nothing is undecided any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from licet.db.approval_codec import APPROVAL_COLUMNS, approval_row, resolution_row
from licet.db.approval_records import ApprovalRecord, Deleting, Resolution
from licet.db.records import RunStatus, SessionKey
from licet.db.run_states import ENDED, may_follow
from licet.db.work_codec import HAS_JOB_SQL
from licet.db.writes import Answer, Statement, Write, insert_beside_run, lock_session
from licet.errors import ConflictError, LicetError

UNDECIDED_SQL = (
    "SELECT 1 FROM licet_approvals AS undecided "
    "WHERE undecided.run_id = licet_runs.run_id AND undecided.approved IS NULL"
)
"""What there is of, as long as a run may not go on. Stands where ``licet_runs`` is the outer."""

_INSERT = insert_beside_run("licet_approvals", APPROVAL_COLUMNS, "id")
_OF_THE_RUN = "run_id = (SELECT run_id FROM licet_approvals WHERE id = ?)"
_LOCK_RUN = f"UPDATE licet_runs SET updated_at_us = updated_at_us WHERE {_OF_THE_RUN}"  # noqa: S608 - constants
_RESOLVE = (
    "UPDATE licet_approvals SET approved = ?, resolved_by = ?, resolver = ?, resolved_at_us = ?, "
    "resolution_data = ? WHERE id = ? AND approved IS NULL "
    "AND (expires_at_us IS NULL OR expires_at_us > ?) AND EXISTS (SELECT 1 FROM licet_runs "
    "WHERE licet_runs.run_id = licet_approvals.run_id AND licet_runs.status = 'PAUSED')"
)
_GO_ON = (
    "UPDATE licet_runs SET status = 'PENDING', updated_at_us = ?, executor_id = NULL "  # noqa: S608 - constants
    f"WHERE {_OF_THE_RUN} AND status = 'PAUSED' AND durable = 1 "
    "AND EXISTS (SELECT 1 FROM licet_approvals WHERE id = ? AND continues = 1) "
    f"AND {HAS_JOB_SQL} AND NOT EXISTS ({UNDECIDED_SQL})"
)
_SELECT_STATUS = (
    "SELECT licet_runs.status FROM licet_approvals "
    "JOIN licet_runs ON licet_runs.run_id = licet_approvals.run_id WHERE licet_approvals.id = ?"
)
_DELETE = (
    "DELETE FROM licet_approvals WHERE id = ? AND EXISTS (SELECT 1 FROM licet_runs "  # noqa: S608 - constants
    "WHERE licet_runs.run_id = licet_approvals.run_id AND licet_runs.status IN "
    f"({', '.join(sorted(repr(status.value) for status in ENDED))}))"
)


class NotPendingError(LicetError):
    """The approval does not wait to be decided: nothing was written."""


def insert_approvals(approvals: Sequence[ApprovalRecord]) -> tuple[Statement, ...]:
    """Insert what a run waits for, where the run is there."""
    return tuple(
        Statement(_INSERT, (*approval_row(each), each.run_id, each.owner, each.session_id))
        for each in approvals
    )


def check_approvals(approvals: Sequence[ApprovalRecord], answers: Sequence[Answer]) -> None:
    """See that all are stored. ``answers``: of ``insert_approvals``.

    Raises:
        ConflictError: there was one of that id.
    """
    for each, inserted in zip(approvals, answers, strict=True):
        if inserted.touched == 0:
            raise ConflictError(f"an approval {each.id!r} exists already")


def resolve(approval_id: str, key: SessionKey, resolution: Resolution) -> Write[None]:
    """Write a decision, and let the run go on where it does by itself. ``key``: its session.

    It concludes in ``NotPendingError`` where there was nothing to decide: the run may have paused
    anew since, and must not go on with it.
    """
    assert may_follow(RunStatus.PAUSED, RunStatus.PENDING)  # noqa: S101 - what the text says
    at_us = resolution.at_us
    deciding = Statement(_RESOLVE, (*resolution_row(resolution), approval_id, at_us))
    statements = (
        lock_session(key),
        Statement(_LOCK_RUN, (approval_id,)),
        deciding,
        Statement(_GO_ON, (at_us, approval_id, approval_id)),
    )

    def conclude(answers: Sequence[Answer]) -> None:
        if answers[2].touched == 0:
            raise NotPendingError("the approval does not wait any more")

    return Write(key, statements, conclude)


def delete(approval_id: str, key: SessionKey) -> Write[Deleting]:
    """Delete an approval whose run has ended. ``key``: its session."""
    statements = (
        lock_session(key),
        Statement(_SELECT_STATUS, (approval_id,)),
        Statement(_DELETE, (approval_id,)),
    )

    def conclude(answers: Sequence[Answer]) -> Deleting:
        _, found, deleted = answers
        if deleted.touched > 0:
            return Deleting.DELETED
        return Deleting.REFUSED if found.rows else Deleting.ABSENT

    return Write(key, statements, conclude)
