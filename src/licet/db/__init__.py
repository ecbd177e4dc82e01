"""Storage: the Db protocol, its records, and three implementations.

The implementations are imported by name: ``licet.db.sqlite.SqliteDb``,
``licet.db.postgres.PostgresDb``, ``licet.db.in_memory.InMemoryDb``.
"""

from licet.db.audit_base import AuditStore
from licet.db.audit_records import (
    AUDIT_FIELDS,
    AuditBatch,
    AuditCursor,
    AuditQuery,
    AuditRecord,
    AuditWriter,
)
from licet.db.base import NOBODY, Access, Db, SessionChanges, Store
from licet.db.records import (
    BegunRun,
    RunQuery,
    RunRecord,
    RunStatus,
    SessionKey,
    SessionPage,
    SessionQuery,
    SessionRecord,
)
from licet.db.trust_base import TrustStore
from licet.db.trust_records import (
    TRUST_TOPIC,
    RevocationKind,
    RevocationPage,
    RevocationQuery,
    RevocationRecord,
    ServiceAccountPage,
    ServiceAccountQuery,
    ServiceAccountRecord,
    TrustChanges,
)

__all__ = [
    "AUDIT_FIELDS",
    "NOBODY",
    "TRUST_TOPIC",
    "Access",
    "AuditBatch",
    "AuditCursor",
    "AuditQuery",
    "AuditRecord",
    "AuditStore",
    "AuditWriter",
    "BegunRun",
    "Db",
    "RevocationKind",
    "RevocationPage",
    "RevocationQuery",
    "RevocationRecord",
    "RunQuery",
    "RunRecord",
    "RunStatus",
    "ServiceAccountPage",
    "ServiceAccountQuery",
    "ServiceAccountRecord",
    "SessionChanges",
    "SessionKey",
    "SessionPage",
    "SessionQuery",
    "SessionRecord",
    "Store",
    "TrustChanges",
    "TrustStore",
]
