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
    RecentRuns,
    RunHead,
    RunQuery,
    RunRecord,
    RunStatus,
    Saving,
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
from licet.db.work_base import WorkStore
from licet.db.work_records import (
    WORK_TOPIC,
    ClaimedRun,
    ExecutorEnd,
    ExecutorRecord,
    JobRecord,
    Once,
    QueueFullError,
    QueueLimits,
    RepeatedRequestError,
)

__all__ = [
    "AUDIT_FIELDS",
    "NOBODY",
    "TRUST_TOPIC",
    "WORK_TOPIC",
    "Access",
    "AuditBatch",
    "AuditCursor",
    "AuditQuery",
    "AuditRecord",
    "AuditStore",
    "AuditWriter",
    "BegunRun",
    "ClaimedRun",
    "Db",
    "ExecutorEnd",
    "ExecutorRecord",
    "JobRecord",
    "Once",
    "QueueFullError",
    "QueueLimits",
    "RecentRuns",
    "RepeatedRequestError",
    "RevocationKind",
    "RevocationPage",
    "RevocationQuery",
    "RevocationRecord",
    "RunHead",
    "RunQuery",
    "RunRecord",
    "RunStatus",
    "Saving",
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
    "WorkStore",
]
