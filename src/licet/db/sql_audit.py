"""The audit store of the SQL databases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from licet.db import audit_writes
from licet.db.audit_base import AuditStore
from licet.db.audit_codec import RECORD_TYPES, askable, audit_batch, audit_record, audit_writer
from licet.db.audit_records import AuditBatch, AuditQuery, AuditRecord, AuditWriter
from licet.db.backend import Backend
from licet.db.codec import storable
from licet.db.sql_store import SqlWork

if TYPE_CHECKING:
    from sqlalchemy import Select

T = TypeVar("T")


def sql_audit(db: SqlWork, backend: Backend) -> AuditStore:
    """The audit trail in a SQL database. ``backend`` says how its SQL takes JSON apart."""
    return _SqlAudit(db, backend)


@dataclass(frozen=True, slots=True)
class _SqlAudit(AuditStore):
    db: SqlWork
    backend: Backend

    async def last_writer(self) -> AuditWriter | None:
        from licet.db import audit_reads

        found = await self._all(audit_reads.last_writer(), audit_writer)
        return found[0] if found else None

    async def register_writer(self, writer: AuditWriter) -> bool:
        return await self.db.write(audit_writes.register_writer(writer))

    async def append(self, batch: AuditBatch, records: Sequence[AuditRecord]) -> None:
        rows = self.backend.json_rows(RECORD_TYPES)
        await self.db.write(audit_writes.append(batch, records, rows=rows))

    async def find(self, query: AuditQuery) -> Sequence[AuditRecord]:
        if not askable(query):
            return ()
        from licet.db import audit_reads

        return await self._all(audit_reads.records_found(query), audit_record)

    async def writers(self, *, after_number: int, limit: int) -> Sequence[AuditWriter]:
        from licet.db import audit_reads

        return await self._all(audit_reads.writers_after(after_number, limit), audit_writer)

    async def records_of(
        self, writer_id: str, *, after_seq: int, limit: int
    ) -> Sequence[AuditRecord]:
        if not storable(writer_id):
            return ()
        from licet.db import audit_reads

        return await self._all(audit_reads.records_after(writer_id, after_seq, limit), audit_record)

    async def batches_of(
        self, writer_id: str, *, after_number: int, limit: int
    ) -> Sequence[AuditBatch]:
        if not storable(writer_id):
            return ()
        from licet.db import audit_reads

        return await self._all(
            audit_reads.batches_after(writer_id, after_number, limit), audit_batch
        )

    async def _all(
        self, statement: Select[Any], record_of: Callable[[Sequence[Any]], T]
    ) -> list[T]:
        """Records are made where they are read: a page of many does not hold up the caller."""
        return await self.db.read(
            lambda connection: [record_of(row) for row in connection.execute(statement)]
        )
