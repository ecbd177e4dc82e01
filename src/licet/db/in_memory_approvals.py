"""The store of approvals in InMemoryDb."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from licet.db.approval_base import ApprovalStore
from licet.db.approval_codec import resolution_row
from licet.db.approval_records import (
    ApprovalPage,
    ApprovalQuery,
    ApprovalRecord,
    ApprovalStatus,
    Deleting,
    FoundApproval,
    Resolution,
)
from licet.db.in_memory_rows import InMemoryRows, copied
from licet.db.records import RunStatus
from licet.db.run_states import ENDED


def in_memory_approvals(rows: InMemoryRows) -> ApprovalStore:
    """The approvals of this process."""
    return _InMemoryApprovalStore(rows)


@dataclass(frozen=True, slots=True)
class _InMemoryApprovalStore(ApprovalStore):
    rows: InMemoryRows

    async def get(self, approval_id: str) -> FoundApproval | None:
        with self.rows.lock:
            return self._found(approval_id)

    async def list(self, query: ApprovalQuery) -> ApprovalPage:
        with self.rows.lock:
            all_of_them = [self._with_run(each) for each in self.rows.approvals.values()]
        found = sorted(
            (each for each in all_of_them if _is_wanted(each, query)),
            key=lambda each: (each.approval.created_at_us, each.approval.id),
            reverse=True,
        )
        limit = max(0, query.limit)
        start = max(0, query.page - 1) * limit
        return ApprovalPage(approvals=tuple(found[start : start + limit]), total_count=len(found))

    async def of_run(self, run_id: str) -> Sequence[ApprovalRecord]:
        with self.rows.lock:
            found = [each for each in self.rows.approvals.values() if each.run_id == run_id]
        return sorted(map(copied, found), key=lambda each: (each.created_at_us, each.id))

    async def resolve(self, approval_id: str, resolution: Resolution) -> bool:
        with self.rows.lock:
            found = self._found(approval_id)
            if found is None:
                return False
            resolution_row(resolution)
            if found.status(now_us=resolution.at_us) is not ApprovalStatus.PENDING:
                return False
            self.rows.put_approval(replace(found.approval, resolution=resolution))
            self._go_on(found.approval, at_us=resolution.at_us)
            return True

    async def delete(self, approval_id: str) -> Deleting:
        with self.rows.lock:
            found = self._found(approval_id)
            if found is None:
                return Deleting.ABSENT
            if found.run_status not in ENDED:
                return Deleting.REFUSED
            del self.rows.approvals[approval_id]
            return Deleting.DELETED

    def _go_on(self, decided: ApprovalRecord, *, at_us: int) -> None:
        run = self.rows.runs[decided.run_id]
        by_itself = decided.continues and run.durable and run.run_id in self.rows.jobs
        if by_itself and not self.rows.is_undecided(run.run_id):
            self.rows.put_run(
                replace(run, status=RunStatus.PENDING, executor_id=None, updated_at_us=at_us)
            )

    def _found(self, approval_id: str) -> FoundApproval | None:
        approval = self.rows.approvals.get(approval_id)
        return None if approval is None else self._with_run(approval)

    def _with_run(self, approval: ApprovalRecord) -> FoundApproval:
        status = self.rows.runs[approval.run_id].status
        return FoundApproval(approval=copied(approval), run_status=status)


def _is_wanted(found: FoundApproval, query: ApprovalQuery) -> bool:
    approval = found.approval
    return (
        (query.ids is None or approval.id in query.ids)
        and query.status in (None, found.status(now_us=query.now_us))
        and query.run_id in (None, approval.run_id)
        and query.session_id in (None, approval.session_id)
        and query.component_id in (None, approval.component_id)
        and query.user_id in (None, approval.user_id)
        and query.tool_name in (None, approval.tool_name)
    )
