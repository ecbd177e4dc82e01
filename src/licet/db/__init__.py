"""Storage: the Db protocol, its records, and three implementations.

The implementations are imported by name: ``licet.db.sqlite.SqliteDb``,
``licet.db.postgres.PostgresDb``, ``licet.db.in_memory.InMemoryDb``.
"""

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

__all__ = [
    "NOBODY",
    "Access",
    "BegunRun",
    "Db",
    "RunQuery",
    "RunRecord",
    "RunStatus",
    "SessionChanges",
    "SessionKey",
    "SessionPage",
    "SessionQuery",
    "SessionRecord",
    "Store",
]
