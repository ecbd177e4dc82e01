"""The rows of audit: what was decided, who wrote it down, and what was written down together.

They are the organisation's, not an owner's. Times are epoch microseconds. A writer is one process
for as long as it lives; its records are a chain, and so are the registrations of all writers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec


class AuditCursor(NamedTuple):
    """The place of a record in time. No two records have the same."""

    time_us: int
    writer_id: str
    seq: int


class AuditRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event as it is stored. As JSON it is an array of its values, in the order given here.

    ``seq`` counts a writer's records from 1, without a gap. ``hash`` is the head of the writer's
    chain after this record (SHA-256, hexadecimal). Texts hold no NUL and no half of a surrogate
    pair; ``writer_id`` has 800 bytes at most, ``issuer_alias`` 500 and ``subject`` 2000.
    """

    writer_id: str
    seq: int
    time_us: int
    request_id: str
    kind: str
    decision: str
    status: int | None
    reason: str
    rule: str
    issuer_alias: str | None
    subject: str | None
    credential: str
    token_id: str | None
    action: str | None
    resource: str | None
    resource_id: str | None
    method: str
    route: str
    client: str | None
    latency_us: int
    hash: str

    @property
    def cursor(self) -> AuditCursor:
        """The record's place in time."""
        return AuditCursor(self.time_us, self.writer_id, self.seq)


AUDIT_FIELDS = tuple(
    name for name in AuditRecord.__struct_fields__ if name not in {"writer_id", "hash"}
)
"""What a chain covers of a record, in the order of its fields: integers, texts and None.

Every database gives these values back exactly as they were.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditWriter:
    """One registration of a writer. ``number`` counts them from 1, in the order of registering.

    ``hash`` covers the previous registration's hash (hexadecimal). ``key_id`` is the key that
    signs, and ``signature`` what it made of the hash; None: nothing is signed.
    """

    id: str
    number: int
    os_id: str
    key_id: str | None
    registered_at_us: int
    hash: str
    signature: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditBatch:
    """Records of one writer that were written together. ``number`` counts them from 1.

    ``first_seq`` and ``last_seq`` are both inclusive; ``hash`` is the last record's, and
    ``signature`` what the writer's key made of it.
    """

    writer_id: str
    number: int
    first_seq: int
    last_seq: int
    hash: str
    created_at_us: int
    signature: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which records to find: by default the latest first. None: no filter.

    ``since_us`` and ``until_us`` are both inclusive. ``before`` and ``after`` are exclusive: a
    list goes on before the last record that it showed, or after it with ``oldest_first``.
    """

    decision: str | None = None
    issuer_alias: str | None = None
    subject: str | None = None
    action: str | None = None
    resource_id: str | None = None
    request_id: str | None = None
    client: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    before: AuditCursor | None = None
    after: AuditCursor | None = None
    oldest_first: bool = False
    limit: int = 20
