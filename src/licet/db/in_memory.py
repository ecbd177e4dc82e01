"""InMemoryDb: for tests and trials. What it holds ends with the process."""

from __future__ import annotations

from licet.db.approval_base import ApprovalStore
from licet.db.audit_base import AuditStore
from licet.db.base import Access, Store
from licet.db.in_memory_approvals import in_memory_approvals
from licet.db.in_memory_audit import in_memory_audit
from licet.db.in_memory_rows import InMemoryRows
from licet.db.in_memory_schedules import InMemorySchedules
from licet.db.in_memory_store import in_memory_store
from licet.db.in_memory_topics import InMemoryTopics
from licet.db.in_memory_trust import in_memory_trust
from licet.db.in_memory_work import in_memory_work
from licet.db.schedule_base import ScheduleStore
from licet.db.trust_base import TrustStore
from licet.db.work_base import WorkStore


class InMemoryDb:
    """Sessions, runs, trust and the last 10 000 audit records in this process alone.

    Args:
        id: what clients call the database.
    """

    def __init__(self, id: str | None = None) -> None:
        self._id = id or "in-memory"
        self._rows = InMemoryRows()
        self._topics = InMemoryTopics()
        self._trust = in_memory_trust(self._topics)
        self._audit = in_memory_audit()
        self._work = in_memory_work(self._rows, self._topics)
        self._approvals = in_memory_approvals(self._rows)
        self._schedules = InMemorySchedules(self._topics)

    def __repr__(self) -> str:
        return f"InMemoryDb(id={self.id!r})"

    @property
    def id(self) -> str:
        """What clients call it."""
        return self._id

    async def open(self) -> None:
        """Nothing has to be opened."""

    async def close(self) -> None:
        """Nothing has to be given back; what is held stays until the Db is forgotten."""

    def store(self, access: Access) -> Store:
        """A handle for one access."""
        return in_memory_store(self._rows, self._topics, access)

    def trust(self) -> TrustStore:
        """Revocations and service accounts."""
        return self._trust

    def audit(self) -> AuditStore:
        """The audit trail: the last 10 000 records, of which the oldest go first."""
        return self._audit

    def work(self) -> WorkStore:
        """Who works on runs, and on which."""
        return self._work

    def approvals(self) -> ApprovalStore:
        """What waits to be decided by others than the runs' owners."""
        return self._approvals

    def schedules(self, access: Access) -> ScheduleStore:
        """Schedules as one access sees them."""
        return self._schedules.as_seen_by(access)

    async def watch(self, topic: str, *, after: int, timeout_seconds: float) -> int:
        """Wait until the number of a topic is above ``after``, or the time is over; answer it.

        Raises:
            StorageError: there is no such topic.
        """
        return await self._topics.watch(topic, after=after, timeout_seconds=timeout_seconds)
