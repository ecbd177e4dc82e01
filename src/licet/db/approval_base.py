"""The ApprovalStore protocol: what waits to be decided by others than the run's owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from licet.db.approval_records import (
    ApprovalPage,
    ApprovalQuery,
    ApprovalRecord,
    Deleting,
    FoundApproval,
    Resolution,
)


class ApprovalStore(Protocol):
    """Approvals of everybody's runs. They are written by ``Store.pause_run``.

    No access is carried: approvals are the organisation's, and whoever calls these methods has
    asked who may. Every method may raise ``StorageError``.
    """

    async def get(self, approval_id: str) -> FoundApproval | None:
        """The approval of that id."""

    async def list(self, query: ApprovalQuery) -> ApprovalPage:
        """One page of approvals, newest first: by ``created_at_us``, then ``id``."""

    async def of_run(self, run_id: str) -> Sequence[ApprovalRecord]:
        """All approvals that a run has ever waited for, oldest first."""

    async def resolve(self, approval_id: str, resolution: Resolution) -> bool:
        """Write a decision, if there is none yet, and let the run go on where it does by itself.

        One transaction: of several at once, one wins. The run is PENDING then, if it is durable and
        has a job, the approval ``continues``, and no other one of it is undecided. Whoever calls
        this wakes who works (``WorkStore.raise_work``). False: it was not pending any more, or
        there is none.
        """

    async def delete(self, approval_id: str) -> Deleting:
        """Delete an approval whose run has ended."""
