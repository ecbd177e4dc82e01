"""The chain: each record's hash covers the one before it, and heads are signed.

One chain a *writer*: each process that writes registers under an id of its own, and the
registrations are a chain, too. Heads are signed with each batch; who has no key can still tell an
accident, but not an attack.

    registration 1 <- registration 2 <- …           signed each
    writer: 000… <- record 1 <- record 2 <- …       each batch's last hash is signed
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from licet.audit.event import AuditEvent
from licet.db.audit_records import AuditBatch, AuditRecord, AuditWriter

GENESIS = "0" * 64
"""The hash before the first."""

_PLAIN = frozenset((int, str))
_encode = msgspec.json.Encoder().encode
_event_values = attrgetter(*AuditEvent.__struct_fields__)


def chained(
    previous: str, events: Sequence[AuditEvent], *, writer_id: str, first_seq: int
) -> list[AuditRecord]:
    """The records of events: numbered, each with its hash. ``previous`` is the head before them."""
    records: list[AuditRecord] = []
    for seq, event in enumerate(events, first_seq):
        values = _event_values(event)
        previous = _hash(previous, (writer_id, seq, *values))
        records.append(AuditRecord(writer_id, seq, *values, previous))  # type: ignore[call-arg]  # as many as the fields
    return records


def record_hash(previous: str, record: AuditRecord) -> str:
    """What the hash of a record has to be. ``previous`` is that of the record before it."""
    return _hash(previous, (record.writer_id, record.seq, *_event_values(record)))


def is_plain(row: AuditRecord | AuditWriter) -> bool:
    """Whether a row holds nothing but integers, texts and None, as all that is written does.

    SQLite keeps anything in any column, and bytes would have the hash of their base64.
    """
    values = (getattr(row, name) for name in _fields(row))
    return all(value is None or type(value) in _PLAIN for value in values)


def registration_hash(previous: str, writer: AuditWriter) -> str:
    """What the hash of a registration has to be. ``previous`` is that of the one before it."""
    covered = (writer.id, writer.number, writer.os_id, writer.key_id, writer.registered_at_us)
    return _hash(previous, covered)


def registration_message(writer_id: str, number: int, registration: str) -> bytes:
    """What is signed of a registration."""
    return _encode(("licet.audit.writer.1", writer_id, number, registration))


def batch_message(batch: AuditBatch) -> bytes:
    """What is signed of a batch."""
    return _encode(
        (
            "licet.audit.batch.1",
            *(batch.writer_id, batch.number, batch.first_seq, batch.last_seq, batch.hash),
            batch.created_at_us,
        )
    )


def _fields(row: AuditRecord | AuditWriter) -> tuple[str, ...]:
    if isinstance(row, AuditRecord):
        return row.__struct_fields__
    return tuple(row.__dataclass_fields__)


def _hash(previous: str, covered: tuple[Any, ...]) -> str:
    # JSON of a list writes each value in one way only, and tells a text from a number.
    return hashlib.sha256(previous.encode() + _encode(covered)).hexdigest()
