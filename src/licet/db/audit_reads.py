"""The reads of audit, in SQLAlchemy Core: what was decided, and each chain in its order."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, select, tuple_

from licet.db.audit_codec import BATCH_COLUMNS, FILTERS, RECORD_COLUMNS, WRITER_COLUMNS
from licet.db.audit_records import AuditCursor, AuditQuery
from licet.db.codec import within_columns
from licet.db.tables import audit, audit_batches, audit_writers

_record_values = [audit.c[name] for name in RECORD_COLUMNS]
_writer_values = [audit_writers.c[name] for name in WRITER_COLUMNS]
_batch_values = [audit_batches.c[name] for name in BATCH_COLUMNS]

# The columns of the index: what a page begins with is found, and nothing is sorted.
_PLACE = (audit.c.time_us, audit.c.writer_id, audit.c.seq)


def last_writer() -> Select[Any]:
    """The registration with the highest number."""
    return select(*_writer_values).order_by(audit_writers.c.number.desc()).limit(1)


def writers_after(number: int, limit: int) -> Select[Any]:
    """Registrations with a higher number."""
    of_number = audit_writers.c.number
    wanted = select(*_writer_values).where(of_number > within_columns(number))
    return wanted.order_by(of_number).limit(_limit(limit))


def records_after(writer_id: str, seq: int, limit: int) -> Select[Any]:
    """A writer's records with a higher ``seq``."""
    wanted = (audit.c.writer_id == writer_id, audit.c.seq > within_columns(seq))
    return select(*_record_values).where(*wanted).order_by(audit.c.seq).limit(_limit(limit))


def batches_after(writer_id: str, number: int, limit: int) -> Select[Any]:
    """A writer's batches with a higher number."""
    of_number = audit_batches.c.number
    wanted = (audit_batches.c.writer_id == writer_id, of_number > within_columns(number))
    return select(*_batch_values).where(*wanted).order_by(of_number).limit(_limit(limit))


def records_found(query: AuditQuery) -> Select[Any]:
    """The first records of a query."""
    wanted: list[ColumnElement[bool]] = [
        audit.c[name] == value for name in FILTERS if (value := getattr(query, name)) is not None
    ]
    if query.since_us is not None:
        wanted.append(audit.c.time_us >= within_columns(query.since_us))
    if query.until_us is not None:
        wanted.append(audit.c.time_us <= within_columns(query.until_us))
    if query.before is not None:
        wanted.append(tuple_(*_PLACE) < _values(query.before))
    if query.after is not None:
        wanted.append(tuple_(*_PLACE) > _values(query.after))
    order = _PLACE if query.oldest_first else tuple(column.desc() for column in _PLACE)
    return select(*_record_values).where(*wanted).order_by(*order).limit(_limit(query.limit))


def _values(place: AuditCursor) -> ColumnElement[Any]:
    time_us, writer_id, seq = place
    return tuple_(within_columns(time_us), writer_id, within_columns(seq))


def _limit(limit: int) -> int:
    return within_columns(max(0, limit))
