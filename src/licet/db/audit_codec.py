"""Audit to rows and back, in the order of the columns named here.

The records of a batch travel as one JSON text: encoded in one go, and taken apart by the database,
which holds up nobody else of this process. So their values are not looked at one by one either.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from licet.db.audit_records import AuditBatch, AuditQuery, AuditRecord, AuditWriter
from licet.db.codec import MAX_INTEGER, MAX_KEY_BYTES, checked, storable
from licet.errors import InvalidInputError, StorageError

WRITER_COLUMNS = (
    "id",
    "number",
    "os_id",
    "key_id",
    "registered_at_us",
    "hash",
    "signature",
)
BATCH_COLUMNS = (
    "writer_id",
    "number",
    "first_seq",
    "last_seq",
    "hash",
    "created_at_us",
    "signature",
)
RECORD_COLUMNS = AuditRecord.__struct_fields__
RECORD_TYPES = {
    name: "BIGINT" if name in {"seq", "time_us", "status", "latency_us"} else "TEXT"
    for name in RECORD_COLUMNS
}
"""The columns with their SQL types."""

FILTERS = ("decision", "issuer_alias", "subject", "action", "resource_id", "request_id", "client")
"""What records can be found by: fields of a query, and columns."""

# PostgreSQL indexes 2704 bytes; a subject of 500 characters fits, in whatever script.
_MAX_BYTES = {"writer_id": MAX_KEY_BYTES, "issuer_alias": 500, "subject": 2000}

_values_of = attrgetter(*RECORD_COLUMNS)
_numbers_of = [attrgetter(name) for name, kind in RECORD_TYPES.items() if kind == "BIGINT"]
_writer_id_of, _seq_of = attrgetter("writer_id"), attrgetter("seq")


def writer_row(writer: AuditWriter) -> tuple[Any, ...]:
    """A registration's values.

    Raises:
        StorageError: a text or a number of it cannot be stored.
    """
    row = tuple(getattr(writer, name) for name in WRITER_COLUMNS)
    return checked(row, WRITER_COLUMNS, indexed=("id",))


def audit_writer(row: Sequence[Any]) -> AuditWriter:
    """A row of registrations as a record."""
    return AuditWriter(**dict(zip(WRITER_COLUMNS, row, strict=True)))


def batch_row(batch: AuditBatch) -> tuple[Any, ...]:
    """A batch's values.

    Raises:
        StorageError: a text or a number of it cannot be stored.
    """
    row = tuple(getattr(batch, name) for name in BATCH_COLUMNS)
    return checked(row, BATCH_COLUMNS, indexed=("writer_id",))


def audit_batch(row: Sequence[Any]) -> AuditBatch:
    """A row of batches as a record."""
    return AuditBatch(**dict(zip(BATCH_COLUMNS, row, strict=True)))


def audit_record(row: Sequence[Any]) -> AuditRecord:
    """A row of records as a record. Somebody may have changed it: no type is taken for granted."""
    return AuditRecord(*row)


def json_of(batch: AuditBatch, records: Sequence[AuditRecord]) -> str:
    """A batch's records as JSON: an array of arrays of the values of ``RECORD_COLUMNS``.

    Raises:
        InvalidInputError: the records are not those from the batch's first to its last.
        StorageError: a text or a number of them cannot be stored.
    """
    _require_whole(batch, records)
    try:
        text = msgspec.json.encode(records).decode()
    except (TypeError, ValueError, OverflowError) as error:
        _check_each(records)
        raise StorageError(f"a record holds what is neither text nor number: {error}") from error
    if _has_nul(text) or _has_number_beyond_columns(records):
        _check_each(records)
    _check_lengths(records)
    return text


def askable(query: AuditQuery) -> bool:
    """Whether a record can exist that a query finds: no text of it is one that no record holds."""
    places = (query.before, query.after)
    return storable(
        *(getattr(query, name) for name in FILTERS),
        *(place.writer_id for place in places if place is not None),
    )


def _require_whole(batch: AuditBatch, records: Sequence[AuditRecord]) -> None:
    if (
        not records
        or len(records) != batch.last_seq - batch.first_seq + 1
        or list(map(_seq_of, records)) != list(range(batch.first_seq, batch.last_seq + 1))
        or set(map(_writer_id_of, records)) != {batch.writer_id}
        or records[-1].hash != batch.hash
    ):
        raise InvalidInputError(
            "records", "expected the records of the batch's writer, from its first to its last"
        )


def _has_nul(json: str) -> bool:
    # A NUL is escaped; where nothing is escaped, which is quick to see, there is none. A stranger's
    # backslashes, which are escaped too, must not look like one: naming the column is slow.
    return "\\" in json and "\\u0000" in json.replace("\\\\", "")


def _check_each(records: Sequence[AuditRecord]) -> None:
    for record in records:
        checked(_values_of(record), RECORD_COLUMNS)


def _has_number_beyond_columns(records: Sequence[AuditRecord]) -> bool:
    for number_of in _numbers_of:
        numbers = [number for number in map(number_of, records) if number is not None]
        if numbers and (min(numbers) < -MAX_INTEGER or max(numbers) > MAX_INTEGER):
            return True
    return False


def _check_lengths(records: Sequence[AuditRecord]) -> None:
    for name, most in _MAX_BYTES.items():
        for text in set(map(attrgetter(name), records)):
            if text is not None and len(text.encode()) > most:
                raise StorageError(f"{name} is longer than {most} bytes")
