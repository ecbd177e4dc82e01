"""Audit records, batches and writers with the values that a test does not care about."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from licet.db.audit_records import AuditBatch, AuditCursor, AuditRecord, AuditWriter
from licet.db.base import Db
from licet.db.sql_db import SqlDb
from licet.db.writes import Statement, Write


def digest(*values: object) -> str:
    """A hash, of whatever."""
    return hashlib.sha256(repr(values).encode()).hexdigest()


def record(seq: int = 1, /, **values: Any) -> AuditRecord:
    """A record of an allowed request. By default later ones are of later times."""
    writer_id = values.get("writer_id", "w")
    return AuditRecord(
        **{
            "writer_id": writer_id,
            "seq": seq,
            "time_us": 1_000 + seq,
            "request_id": f"request-{seq}",
            "kind": "request",
            "decision": "allow",
            "status": None,
            "reason": "a scope of the token allows it",
            "rule": "scope:agents:run",
            "issuer_alias": "main",
            "subject": "alice",
            "credential": "jwt",
            "token_id": "t-1",
            "action": "agents:run",
            "resource": "agents",
            "resource_id": "helper",
            "method": "POST",
            "route": "/agents/{agent_id}/runs",
            "client": "127.0.0.1",
            "latency_us": 120,
            "hash": digest(writer_id, seq),
            **values,
        }
    )


def records(first: int, last: int, **values: Any) -> list[AuditRecord]:
    """A writer's records from the first to the last."""
    return [record(seq, **values) for seq in range(first, last + 1)]


def batch(of: Sequence[AuditRecord], number: int = 1, **values: Any) -> AuditBatch:
    """The batch of records."""
    return AuditBatch(
        **{
            "writer_id": of[0].writer_id,
            "number": number,
            "first_seq": of[0].seq,
            "last_seq": of[-1].seq,
            "hash": of[-1].hash,
            "created_at_us": 5_000,
            "signature": "signed",
            **values,
        }
    )


def writer(number: int = 1, /, **values: Any) -> AuditWriter:
    """A registration."""
    return AuditWriter(
        **{
            "id": f"writer-{number}",
            "number": number,
            "os_id": "os",
            "key_id": "key",
            "registered_at_us": 4_000,
            "hash": digest(number),
            "signature": "signed",
            **values,
        }
    )


async def append(
    db: Db, of: Sequence[AuditRecord], number: int = 1, **values: Any
) -> tuple[AuditBatch, Sequence[AuditRecord]]:
    """Append records as one batch, and answer both."""
    given = batch(of, number, **values)
    await db.audit().append(given, of)
    return given, of


def places(found: Sequence[AuditRecord]) -> list[AuditCursor]:
    """Where records are."""
    return [each.cursor for each in found]


async def all_records(db: Db, writer_id: str = "w") -> list[AuditRecord]:
    """All records of a writer."""
    return list(await db.audit().records_of(writer_id, after_seq=0, limit=100_000))


async def all_batches(db: Db, writer_id: str = "w") -> list[AuditBatch]:
    """All batches of a writer."""
    return list(await db.audit().batches_of(writer_id, after_number=0, limit=100_000))


async def all_writers(db: Db) -> list[AuditWriter]:
    """All registrations."""
    return list(await db.audit().writers(after_number=0, limit=100_000))


async def forget_audit(db: Db) -> None:
    """Empty the tables of a SQL database."""
    assert isinstance(db, SqlDb)
    tables = ("licet_audit", "licet_audit_batches", "licet_audit_writers")
    # S608: constants.
    statements = tuple(Statement(f"DELETE FROM {table}", ()) for table in tables)  # noqa: S608
    await db.write(Write(("", ""), statements, lambda _: None))
