"""The store of approvals in the SQL databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from licet.db import approval_writes
from licet.db.access import THE_SERVER
from licet.db.approval_base import ApprovalStore
from licet.db.approval_codec import approval_record, found_approval
from licet.db.approval_records import (
    ApprovalPage,
    ApprovalQuery,
    ApprovalRecord,
    Deleting,
    FoundApproval,
    Resolution,
)
from licet.db.codec import storable
from licet.db.records import SessionKey
from licet.db.sql_store import SqlWork

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row


def sql_approvals(db: SqlWork) -> ApprovalStore:
    """The approvals of a SQL database."""
    return _SqlApprovalStore(db)


@dataclass(frozen=True, slots=True)
class _SqlApprovalStore(ApprovalStore):
    db: SqlWork

    async def get(self, approval_id: str) -> FoundApproval | None:
        if not storable(approval_id):
            return None
        from licet.db import approval_reads

        statement = approval_reads.one_approval(approval_id)
        rows = await self.db.read(lambda c: c.execute(statement).all(), access=THE_SERVER)
        return found_approval(rows[0]) if rows else None

    async def list(self, query: ApprovalQuery) -> ApprovalPage:
        filters = (query.run_id, query.session_id, query.component_id, query.user_id)
        if not storable(*filters, query.tool_name):
            return ApprovalPage(approvals=(), total_count=0)
        from licet.db import approval_reads

        count = approval_reads.approval_count(query)
        page = approval_reads.approval_page(query)

        def both(connection: Connection) -> tuple[int, Sequence[Row[Any]]]:
            return connection.execute(count).scalar_one(), connection.execute(page).all()

        total, rows = await self.db.read(both, access=THE_SERVER)
        return ApprovalPage(approvals=tuple(map(found_approval, rows)), total_count=total)

    async def of_run(self, run_id: str) -> Sequence[ApprovalRecord]:
        if not storable(run_id):
            return ()
        from licet.db import approval_reads

        statement = approval_reads.approvals_of(run_id)
        rows = await self.db.read(lambda c: c.execute(statement).all(), access=THE_SERVER)
        return [approval_record(row) for row in rows]

    async def resolve(self, approval_id: str, resolution: Resolution) -> bool:
        key = await self._session_of(approval_id)
        if key is None:
            return False
        try:
            await self.db.write(
                approval_writes.resolve(approval_id, key, resolution), access=THE_SERVER
            )
        except approval_writes.NotPendingError:
            return False
        return True

    async def delete(self, approval_id: str) -> Deleting:
        key = await self._session_of(approval_id)
        if key is None:
            return Deleting.ABSENT
        return await self.db.write(approval_writes.delete(approval_id, key), access=THE_SERVER)

    async def _session_of(self, approval_id: str) -> SessionKey | None:
        """Where a write stands among those of its transaction: it never moves to another."""
        found = await self.get(approval_id)
        return (
            None if found is None else SessionKey(found.approval.owner, found.approval.session_id)
        )
