"""The writes of approvals, as fixed lists of statements.

A decision first locks the run: of two decisions about one run, the second sees what the first has
written, so that one of them finds that nothing is undecided any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from licet.db.approval_codec import APPROVAL_COLUMNS, approval_row, resolution_row
from licet.db.approval_records import ApprovalRecord, Deleting, Resolution
from licet.db.records import RunStatus, SessionKey
from licet.db.run_states import ENDED, may_come_from
from licet.db.writes import Answer, Statement, Write, insert_unless_known

INSERT_APPROVAL = insert_unless_known("licet_approvals", APPROVAL_COLUMNS, "id")

UNDECIDED_SQL = (
    "SELECT 1 FROM licet_approvals AS undecided "
    "WHERE undecided.run_id = licet_runs.run_id AND undecided.approved IS NULL"
)
"""What there is of, as long as a run may not go on. Stands where ``licet_runs`` is the outer."""

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
    f"AND NOT EXISTS ({UNDECIDED_SQL})"
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


def insert_approvals(approvals: Sequence[ApprovalRecord]) -> tuple[Statement, ...]:
    """Insert what a run waits for. After the run that the rows refer to."""
    return tuple(Statement(INSERT_APPROVAL, approval_row(each)) for each in approvals)


def resolve(approval_id: str, key: SessionKey, resolution: Resolution) -> Write[bool]:
    """Write a decision, and let the run go on where it does by itself. ``key``: its session."""
    assert RunStatus.PAUSED in may_come_from(RunStatus.PENDING)  # noqa: S101 - what the text says
    at_us = resolution.at_us
    deciding = Statement(_RESOLVE, (*resolution_row(resolution), approval_id, at_us))
    statements = (
        Statement(_LOCK_RUN, (approval_id,)),
        deciding,
        Statement(_GO_ON, (at_us, approval_id, approval_id)),
    )
    return Write(key, statements, lambda answers: answers[1].touched > 0)


def delete(approval_id: str, key: SessionKey) -> Write[Deleting]:
    """Delete an approval whose run has ended. ``key``: its session."""
    statements = (Statement(_SELECT_STATUS, (approval_id,)), Statement(_DELETE, (approval_id,)))

    def conclude(answers: Sequence[Answer]) -> Deleting:
        if answers[1].touched > 0:
            return Deleting.DELETED
        return Deleting.REFUSED if answers[0].rows else Deleting.ABSENT

    return Write(key, statements, conclude)
