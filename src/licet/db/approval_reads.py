"""The reads of approvals, in SQLAlchemy Core. They see everybody's."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from licet.db.approval_codec import APPROVAL_COLUMNS
from licet.db.approval_records import ApprovalQuery, ApprovalStatus
from licet.db.codec import MAX_INTEGER, storable, within_columns
from licet.db.records import RunStatus
from licet.db.tables import approvals, runs

_values = [approvals.c[name] for name in APPROVAL_COLUMNS]
_with_run = approvals.join(runs, runs.c.run_id == approvals.c.run_id)


def one_approval(approval_id: str) -> Select[Any]:
    """The approval of that id, and the status of its run."""
    return (
        select(*_values, runs.c.status).select_from(_with_run).where(approvals.c.id == approval_id)
    )


def approvals_of(run_id: str) -> Select[Any]:
    """What a run has waited for."""
    return (
        select(*_values)
        .where(approvals.c.run_id == run_id)
        .order_by(approvals.c.created_at_us, approvals.c.id)
    )


def approval_count(query: ApprovalQuery) -> Select[Any]:
    """How many approvals a list has, over all its pages."""
    return select(func.count()).select_from(_with_run).where(*_wanted(query))


def approval_page(query: ApprovalQuery) -> Select[Any]:
    """One page of a list of approvals."""
    limit = within_columns(max(0, query.limit))
    return (
        select(*_values, runs.c.status)
        .select_from(_with_run)
        .where(*_wanted(query))
        .order_by(approvals.c.created_at_us.desc(), approvals.c.id.desc())
        .limit(limit)
        .offset(min(MAX_INTEGER, max(0, query.page - 1) * limit))
    )


def _wanted(query: ApprovalQuery) -> list[ColumnElement[bool]]:
    wanted = [
        column == value
        for column, value in (
            (approvals.c.run_id, query.run_id),
            (approvals.c.session_id, query.session_id),
            (approvals.c.component_id, query.component_id),
            (approvals.c.user_id, query.user_id),
            (approvals.c.tool_name, query.tool_name),
        )
        if value is not None
    ]
    if query.ids is not None:
        wanted.append(approvals.c.id.in_([each for each in query.ids if storable(each)]))
    if query.status is not None:
        wanted.append(_stands(query.status, within_columns(query.now_us)))
    return wanted


def _stands(status: ApprovalStatus, now_us: int) -> ColumnElement[bool]:
    """What ``FoundApproval.status`` says, as a condition."""
    if status is ApprovalStatus.APPROVED:
        return approvals.c.approved == 1
    if status is ApprovalStatus.REJECTED:
        return approvals.c.approved == 0
    undecided = approvals.c.approved.is_(None)
    if status is ApprovalStatus.CANCELLED:
        return and_(undecided, runs.c.status != RunStatus.PAUSED.value)
    waiting = and_(undecided, runs.c.status == RunStatus.PAUSED.value)
    expires = approvals.c.expires_at_us
    if status is ApprovalStatus.EXPIRED:
        return and_(waiting, expires <= now_us)
    return and_(waiting, or_(expires.is_(None), expires > now_us))
