"""The rows of approvals: what somebody other than the run's owner has to decide.

An approval is of one call of one tool, with the arguments exactly as the model wrote them. Times
are epoch microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from licet.db.records import RunStatus


class ApprovalStatus(StrEnum):
    """Where an approval stands."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    """Nobody decided while the run could still have gone on."""
    CANCELLED = "cancelled"
    """The run ended without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What was decided, by whom, and when.

    ``by`` is what people call them, ``by_owner`` the owner key of who it was (None: nobody was
    authenticated). ``data`` is what they said with it.
    """

    approved: bool
    by: str | None
    by_owner: str | None
    at_us: int
    data: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRecord:
    """One call that waits, or waited, to be approved.

    ``requested_by`` is the owner key under whose authority the run works; "" where nobody was
    authenticated. ``continues``: with the last decision the run goes on by itself.
    """

    id: str
    run_id: str
    owner: str
    session_id: str
    component_id: str
    user_id: str | None
    tool_call_id: str
    tool_name: str
    arguments: str
    requested_by: str
    continues: bool
    created_at_us: int
    expires_at_us: int | None = None
    resolution: Resolution | None = None

    def has_expired(self, *, now_us: int) -> bool:
        """Whether nobody has decided in time: the run cannot go on any more."""
        in_time = self.expires_at_us is None or self.expires_at_us > now_us
        return self.resolution is None and not in_time


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundApproval:
    """An approval as it stands: together with its run, on which that depends."""

    approval: ApprovalRecord
    run_status: RunStatus

    def status(self, *, now_us: int) -> ApprovalStatus:
        """Where it stands now."""
        resolution = self.approval.resolution
        if resolution is not None:
            return ApprovalStatus.APPROVED if resolution.approved else ApprovalStatus.REJECTED
        if self.run_status is not RunStatus.PAUSED:
            return ApprovalStatus.CANCELLED
        expired = self.approval.has_expired(now_us=now_us)
        return ApprovalStatus.EXPIRED if expired else ApprovalStatus.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalQuery:
    """Which approvals to list, newest first. None: no filter. ``page`` counts from 1.

    ``now_us`` is the time for which ``status`` is asked. No ``ids`` match no approval.
    """

    now_us: int
    ids: frozenset[str] | None = None
    status: ApprovalStatus | None = None
    run_id: str | None = None
    session_id: str | None = None
    component_id: str | None = None
    user_id: str | None = None
    tool_name: str | None = None
    page: int = 1
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalPage:
    """One page of approvals, and how many there are in all."""

    approvals: tuple[FoundApproval, ...]
    total_count: int


class Deleting(StrEnum):
    """What came of deleting an approval."""

    DELETED = "deleted"
    ABSENT = "absent"
    REFUSED = "refused"
    """Its run has not ended: what was decided still counts."""
