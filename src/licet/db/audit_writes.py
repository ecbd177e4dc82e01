"""The writes of audit, as fixed lists of statements. Nothing is updated, nothing deleted."""

from __future__ import annotations

from collections.abc import Sequence

from licet.db.audit_codec import (
    BATCH_COLUMNS,
    RECORD_COLUMNS,
    WRITER_COLUMNS,
    audit_batch,
    batch_row,
    json_of,
    writer_row,
)
from licet.db.audit_records import AuditBatch, AuditRecord, AuditWriter
from licet.db.writes import AFTER_ALL_OWNERS, Answer, Statement, Write
from licet.errors import ConflictError

# After every session, since those are what requests wait for, and before trust, which is what all
# processes wait for.
_KEY = (AFTER_ALL_OWNERS, "audit")


def _insert(table: str, columns: Sequence[str], rows: str) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) {rows} ON CONFLICT DO NOTHING"


def _marks(columns: Sequence[str]) -> str:
    return f"VALUES ({', '.join('?' * len(columns))})"


_INSERT_WRITER = _insert("licet_audit_writers", WRITER_COLUMNS, _marks(WRITER_COLUMNS))
_SELECT_WRITER = "SELECT id FROM licet_audit_writers WHERE number = ?"
_INSERT_BATCH = _insert("licet_audit_batches", BATCH_COLUMNS, _marks(BATCH_COLUMNS))
_SELECT_BATCH = (
    f"SELECT {', '.join(BATCH_COLUMNS)} FROM licet_audit_batches "  # noqa: S608 - constants
    "WHERE writer_id = ? AND number = ?"
)


def register_writer(writer: AuditWriter) -> Write[bool]:
    """Insert a registration unless its number is taken."""
    inserting = Statement(_INSERT_WRITER, writer_row(writer))
    reading = Statement(_SELECT_WRITER, (writer.number,))

    def conclude(answers: Sequence[Answer]) -> bool:
        inserted, found = answers
        if not found.rows:
            raise ConflictError(f"a writer {writer.id!r} is registered under another number")
        return inserted.touched > 0

    return Write(_KEY, (inserting, reading), conclude)


def append(batch: AuditBatch, records: Sequence[AuditRecord], *, rows: str) -> Write[None]:
    """Insert a batch and its records, unless they are stored already.

    Args:
        batch: it goes first: of two who append one batch at once the second waits for the first.
        records: all of the batch's.
        rows: SQL for the rows of a JSON text, as ``Backend.json_rows`` gives it.
    """
    # SQLite asks for the WHERE: without it, ON would belong to a join.
    values = f"SELECT {', '.join(RECORD_COLUMNS)} FROM {rows} AS given WHERE true"  # noqa: S608 - constants
    statements = (
        Statement(_INSERT_BATCH, batch_row(batch)),
        Statement(_SELECT_BATCH, (batch.writer_id, batch.number)),
        Statement(_insert("licet_audit", RECORD_COLUMNS, values), (json_of(batch, records),)),
    )

    def conclude(answers: Sequence[Answer]) -> None:
        inserted, found, added = answers
        if [audit_batch(row) for row in found.rows] != [batch]:
            raise ConflictError(
                f"writer {batch.writer_id!r} has another batch of the number {batch.number}"
            )
        if added.touched != (len(records) if inserted.touched else 0):
            raise ConflictError(
                f"writer {batch.writer_id!r} has other records from {batch.first_seq} to "
                f"{batch.last_seq} than those of batch {batch.number}"
            )

    return Write(_KEY, statements, conclude)
