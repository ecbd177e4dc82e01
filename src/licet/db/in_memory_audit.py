"""The audit store of InMemoryDb."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from licet.db.audit_base import AuditStore
from licet.db.audit_codec import FILTERS, askable, batch_row, json_of, writer_row
from licet.db.audit_records import AuditBatch, AuditQuery, AuditRecord, AuditWriter
from licet.errors import ConflictError

MAX_RECORDS = 10_000
"""How many records are kept: the oldest go first, and batches with the last of their records."""

_Key = tuple[str, int]


def in_memory_audit() -> AuditStore:
    """The last ``MAX_RECORDS`` decisions, in this process alone.

    To whoever verifies, records that had to go are missing.
    """
    return _InMemoryAudit()


class _InMemoryAudit(AuditStore):
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writers: dict[int, AuditWriter] = {}
        self._batches: dict[_Key, AuditBatch] = {}
        # In the order in which they came.
        self._records: OrderedDict[_Key, AuditRecord] = OrderedDict()
        self._batch_of_last: dict[_Key, _Key] = {}

    async def last_writer(self) -> AuditWriter | None:
        with self._lock:
            return self._writers[max(self._writers)] if self._writers else None

    async def register_writer(self, writer: AuditWriter) -> bool:
        writer_row(writer)
        with self._lock:
            if writer.number in self._writers:
                return False
            if any(known.id == writer.id for known in self._writers.values()):
                raise ConflictError(f"a writer {writer.id!r} is registered under another number")
            self._writers[writer.number] = writer
            return True

    async def append(self, batch: AuditBatch, records: Sequence[AuditRecord]) -> None:
        batch_row(batch)
        json_of(batch, records)
        key = (batch.writer_id, batch.number)
        with self._lock:
            if key in self._batches:
                if self._batches[key] != batch:
                    raise ConflictError(
                        f"writer {batch.writer_id!r} has another batch of the number {batch.number}"
                    )
                return
            if any((record.writer_id, record.seq) in self._records for record in records):
                raise ConflictError(
                    f"writer {batch.writer_id!r} has other records from {batch.first_seq} to "
                    f"{batch.last_seq} than those of batch {batch.number}"
                )
            self._batches[key] = batch
            self._batch_of_last[batch.writer_id, batch.last_seq] = key
            for record in records:
                self._records[record.writer_id, record.seq] = record
            self._forget_oldest()

    async def find(self, query: AuditQuery) -> Sequence[AuditRecord]:
        if not askable(query):
            return ()
        with self._lock:
            kept = list(self._records.values())
        found = (record for record in kept if _fits(record, query))
        latest_first = not query.oldest_first
        ordered = sorted(found, key=lambda record: record.cursor, reverse=latest_first)
        return ordered[: max(0, query.limit)]

    async def writers(self, *, after_number: int, limit: int) -> Sequence[AuditWriter]:
        with self._lock:
            kept = list(self._writers.values())
        return _first(kept, lambda writer: writer.number, after_number, limit)

    async def records_of(
        self, writer_id: str, *, after_seq: int, limit: int
    ) -> Sequence[AuditRecord]:
        with self._lock:
            seqs = sorted(seq for of, seq in self._records if of == writer_id and seq > after_seq)
            return [self._records[writer_id, seq] for seq in seqs[: max(0, limit)]]

    async def batches_of(
        self, writer_id: str, *, after_number: int, limit: int
    ) -> Sequence[AuditBatch]:
        with self._lock:
            kept = [batch for (of, _), batch in self._batches.items() if of == writer_id]
        return _first(kept, lambda batch: batch.number, after_number, limit)

    def _forget_oldest(self) -> None:
        while len(self._records) > MAX_RECORDS:
            key, _ = self._records.popitem(last=False)
            if key in self._batch_of_last:
                del self._batches[self._batch_of_last.pop(key)]


_Row = TypeVar("_Row", AuditWriter, AuditBatch)


def _first(
    rows: Iterable[_Row], number: Callable[[_Row], int], after: int, limit: int
) -> list[_Row]:
    found = sorted((row for row in rows if number(row) > after), key=number)
    return found[: max(0, limit)]


def _fits(record: AuditRecord, query: AuditQuery) -> bool:
    return (
        all(getattr(query, name) in (None, getattr(record, name)) for name in FILTERS)
        and (query.since_us is None or record.time_us >= query.since_us)
        and (query.until_us is None or record.time_us <= query.until_us)
        and (query.before is None or record.cursor < query.before)
        and (query.after is None or record.cursor > query.after)
    )
