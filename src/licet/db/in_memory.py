"""InMemoryDb: for tests and trials. What it holds ends with the process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from licet.db.access import may_exist, require_reach, require_same_session
from licet.db.audit_base import AuditStore
from licet.db.base import Access, SessionChanges, Store
from licet.db.codec import check_run, session_record, session_row, storable
from licet.db.in_memory_audit import in_memory_audit
from licet.db.in_memory_topics import InMemoryTopics
from licet.db.in_memory_trust import in_memory_trust
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
from licet.errors import ConflictError


class InMemoryDb:
    """Sessions, runs, trust and the last 10 000 audit records in this process alone.

    Args:
        id: what clients call the database.
    """

    def __init__(self, id: str | None = None) -> None:
        self._id = id or "in-memory"
        self._rows = _Rows()
        self._topics = InMemoryTopics()
        self._trust = in_memory_trust(self._topics)
        self._audit = in_memory_audit()

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
        return _InMemoryStore(self._rows, access)

    def trust(self) -> TrustStore:
        """Revocations and service accounts."""
        return self._trust

    def audit(self) -> AuditStore:
        """The audit trail: the last 10 000 records, of which the oldest go first."""
        return self._audit

    async def watch(self, topic: str, *, after: int, timeout_seconds: float) -> int:
        """Wait until the number of a topic is above ``after``, or the time is over; answer it.

        Raises:
            StorageError: there is no such topic.
        """
        return await self._topics.watch(topic, after=after, timeout_seconds=timeout_seconds)


@dataclass(slots=True)
class _Rows:
    """Sessions are kept as encoded rows: nobody shares a dictionary with the database."""

    sessions: dict[SessionKey, tuple[Any, ...]] = field(default_factory=dict)
    runs: dict[str, RunRecord] = field(default_factory=dict)
    runs_of: dict[SessionKey, dict[str, None]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def session(self, key: SessionKey) -> SessionRecord | None:
        row = self.sessions.get(key)
        return None if row is None else session_record(row)

    def of_session(self, key: SessionKey) -> list[RunRecord]:
        found = [self.runs[run_id] for run_id in self.runs_of.get(key, ())]
        return sorted(found, key=lambda run: (run.created_at_us, run.run_id))

    def put_session(self, session: SessionRecord) -> None:
        self.sessions[session.key] = session_row(session)

    def put_run(self, run: RunRecord) -> None:
        self.runs[run.run_id] = run
        self.runs_of.setdefault(run.session_key, {})[run.run_id] = None

    def delete_session(self, key: SessionKey) -> None:
        del self.sessions[key]
        for run_id in self.runs_of.pop(key, ()):
            del self.runs[run_id]


@dataclass(frozen=True, slots=True)
class _InMemoryStore(Store):
    rows: _Rows
    access: Access

    async def begin_run(
        self, session: SessionRecord, run: RunRecord, *, history_runs: int
    ) -> BegunRun:
        require_reach(self.access, session)
        require_same_session(session, run)
        check_run(run)
        rows = self.rows
        with rows.lock:
            if run.run_id in rows.runs:
                raise ConflictError(f"a run {run.run_id!r} exists already")
            if session.key not in rows.sessions:
                rows.put_session(session)
            bodies = [
                earlier.body
                for earlier in rows.of_session(session.key)
                if earlier.component_id == run.component_id
                and earlier.status is RunStatus.COMPLETED
            ]
            rows.put_run(run)
            return BegunRun(
                session=session_record(rows.sessions[session.key]),
                history=tuple(bodies[-history_runs:]) if history_runs > 0 else (),
            )

    async def save_run(self, run: RunRecord, *, session_state: dict[str, Any] | None) -> bool:
        key = run.session_key
        if not (may_exist(self.access, key) and storable(run.run_id)):
            return False
        check_run(run)
        with self.rows.lock:
            before, session = self._run(key, run.run_id), self.rows.session(key)
            if before is None or session is None:
                return False
            reached = replace(
                before,
                status=run.status,
                body=run.body,
                total_tokens=run.total_tokens,
                updated_at_us=run.updated_at_us,
            )
            touched = replace(
                session,
                session_state=session.session_state if session_state is None else session_state,
                updated_at_us=max(session.updated_at_us, run.updated_at_us),
            )
            self.rows.put_session(touched)
            self.rows.put_run(reached)
            return True

    async def get_run(self, key: SessionKey, run_id: str) -> RunRecord | None:
        with self.rows.lock:
            return self._run(key, run_id)

    async def list_runs(self, key: SessionKey, query: RunQuery) -> Sequence[RunRecord]:
        if not may_exist(self.access, key):
            return []
        with self.rows.lock:
            return [run for run in self.rows.of_session(key) if _run_fits(run, query)]

    async def create_session(self, session: SessionRecord) -> bool:
        require_reach(self.access, session)
        with self.rows.lock:
            if session.key in self.rows.sessions:
                return False
            self.rows.put_session(session)
            return True

    async def find_sessions(self, session_id: str) -> Sequence[SessionRecord]:
        found = [s for s in self._reached() if s.session_id == session_id]
        return sorted(found, key=lambda s: (s.owner != self.access.owner, s.owner))

    async def list_sessions(self, query: SessionQuery) -> SessionPage:
        found = sorted(
            (s for s in self._reached() if _session_fits(s, query)),
            key=lambda s: (*_sort_value(s, query), s.session_id, s.owner),
            reverse=query.descending,
        )
        limit = max(0, query.limit)
        start = max(0, query.page - 1) * limit
        return SessionPage(sessions=tuple(found[start : start + limit]), total_count=len(found))

    async def update_session(
        self, key: SessionKey, changes: SessionChanges, *, updated_at_us: int
    ) -> SessionRecord | None:
        if not may_exist(self.access, key):
            return None
        given = {
            name: value
            for name in ("session_name", "session_state", "metadata", "summary")
            if (value := getattr(changes, name)) is not None
        }
        with self.rows.lock:
            session = self.rows.session(key)
            if session is None:
                return None
            self.rows.put_session(replace(session, **given, updated_at_us=updated_at_us))
            return self.rows.session(key)

    async def delete_sessions(
        self, keys: Sequence[SessionKey], *, session_type: str | None = None
    ) -> int:
        count = 0
        with self.rows.lock:
            for key in keys:
                session = self.rows.session(key) if may_exist(self.access, key) else None
                if session is not None and session_type in (None, session.session_type):
                    self.rows.delete_session(key)
                    count += 1
        return count

    async def total_tokens(self, key: SessionKey) -> int:
        return sum(run.total_tokens for run in await self.list_runs(key, RunQuery()))

    def _run(self, key: SessionKey, run_id: str) -> RunRecord | None:
        run = self.rows.runs.get(run_id) if may_exist(self.access, key) else None
        return run if run is not None and run.session_key == key else None

    def _reached(self) -> Iterable[SessionRecord]:
        with self.rows.lock:
            kept = list(self.rows.sessions.items())
        return [session_record(row) for key, row in kept if self.access.reaches(key.owner)]


def _run_fits(run: RunRecord, query: RunQuery) -> bool:
    low, high = query.created_from_us, query.created_to_us
    return (
        query.component_id in (None, run.component_id)
        and (not query.statuses or run.status in query.statuses)
        and (low is None or run.created_at_us >= low)
        and (high is None or run.created_at_us <= high)
    )


def _session_fits(session: SessionRecord, query: SessionQuery) -> bool:
    part, name = query.session_name, session.session_name
    return (
        query.session_type in (None, session.session_type)
        and query.component_id in (None, session.component_id)
        and query.user_id in (None, session.user_id)
        and (query.session_ids is None or session.session_id in query.session_ids)
        and (part is None or (name is not None and part.lower() in name.lower()))
    )


def _sort_value(session: SessionRecord, query: SessionQuery) -> tuple[Any]:
    if query.sort_by == "session_name":
        return ((session.session_name or "").lower(),)
    return (session.updated_at_us if query.sort_by == "updated_at" else session.created_at_us,)
