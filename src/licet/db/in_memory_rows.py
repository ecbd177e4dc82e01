"""The rows that several stores of InMemoryDb share: sessions, runs, and what goes with runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

from licet.db.approval_codec import approval_record, approval_row
from licet.db.approval_records import ApprovalRecord
from licet.db.codec import session_record, session_row
from licet.db.records import RunRecord, RunStatus, SessionKey, SessionRecord
from licet.db.run_states import UNENDED, may_be_saved
from licet.db.work_records import ExecutorRecord, JobRecord, Once

OnceKey = tuple[str, str, str]


@dataclass(slots=True)
class InMemoryRows:
    """Who reads or writes them holds the lock.

    Sessions are kept as encoded rows: nobody shares a dictionary with the database.
    """

    sessions: dict[SessionKey, tuple[Any, ...]] = field(default_factory=dict)
    runs: dict[str, RunRecord] = field(default_factory=dict)
    runs_of: dict[SessionKey, dict[str, None]] = field(default_factory=dict)
    unended: set[str] = field(default_factory=set)
    cancels_asked: set[str] = field(default_factory=set)
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    once: dict[OnceKey, tuple[Once, str]] = field(default_factory=dict)
    once_of: dict[str, OnceKey] = field(default_factory=dict)
    approvals: dict[str, ApprovalRecord] = field(default_factory=dict)
    executors: dict[str, ExecutorRecord] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def session(self, key: SessionKey) -> SessionRecord | None:
        """The session of that key."""
        row = self.sessions.get(key)
        return None if row is None else session_record(row)

    def of_session(self, key: SessionKey) -> list[RunRecord]:
        """The runs of a session, oldest first."""
        return in_order([self.runs[run_id] for run_id in self.runs_of.get(key, ())])

    def history(self, run: RunRecord, limit: int) -> tuple[bytes, ...]:
        """The bodies of the last runs of the session and component that completed, oldest first."""
        bodies = [
            earlier.body
            for earlier in self.of_session(run.session_key)
            if earlier.component_id == run.component_id
            and earlier.status is RunStatus.COMPLETED
            and earlier.run_id != run.run_id
        ]
        return tuple(bodies[-limit:]) if limit > 0 else ()

    def in_state(self, status: RunStatus, *, durable: bool) -> list[RunRecord]:
        """The runs in a state that is not the last, oldest first."""
        unended = (self.runs[run_id] for run_id in self.unended)
        return in_order([r for r in unended if r.status is status and r.durable is durable])

    def put_session(self, session: SessionRecord) -> None:
        """Write a session as it is now."""
        self.sessions[session.key] = session_row(session)

    def put_run(self, run: RunRecord) -> None:
        """Write a run as it is now."""
        self.runs[run.run_id] = run
        self.runs_of.setdefault(run.session_key, {})[run.run_id] = None
        (self.unended.add if run.status in UNENDED else self.unended.discard)(run.run_id)

    def is_undecided(self, run_id: str) -> bool:
        """Whether a run waits for an approval."""
        return any(a.run_id == run_id and a.resolution is None for a in self.approvals.values())

    def put_once(self, once: Once, run_id: str) -> None:
        """Note which run a request began."""
        key = (once.owner, once.route, once.key)
        self.once[key], self.once_of[run_id] = (once, run_id), key

    def put_approval(self, approval: ApprovalRecord) -> None:
        """Write an approval as it is now."""
        self.approvals[approval.id] = copied(approval)

    def may_reach(self, run: RunRecord) -> bool:
        """Whether a run may get where it is said to be from where it is, and by whom."""
        before = self.runs[run.run_id]
        is_theirs = (before.executor_id or "") == (run.executor_id or "")
        return is_theirs and may_be_saved(before.status, run.status)

    def reach(self, run: RunRecord, session_state: dict[str, Any] | None) -> bool:
        """Write the state that a run has reached, unless it may not get there from where it is."""
        before, session = self.runs[run.run_id], self.session(run.session_key)
        if session is None or not self.may_reach(run):
            return False
        self.put_run(
            replace(
                before,
                status=run.status,
                body=run.body,
                total_tokens=run.total_tokens,
                updated_at_us=run.updated_at_us,
            )
        )
        self.put_session(
            replace(
                session,
                session_state=session.session_state if session_state is None else session_state,
                updated_at_us=max(session.updated_at_us, run.updated_at_us),
            )
        )
        return True

    def delete_session(self, key: SessionKey) -> None:
        """Delete a session with its runs, and what goes with those."""
        del self.sessions[key]
        for run_id in self.runs_of.pop(key, ()):
            del self.runs[run_id]
            self.unended.discard(run_id)
            self.cancels_asked.discard(run_id)
            self.jobs.pop(run_id, None)
            for approval_id in [a.id for a in self.approvals.values() if a.run_id == run_id]:
                del self.approvals[approval_id]
            if run_id in self.once_of:
                del self.once[self.once_of.pop(run_id)]


def copied(approval: ApprovalRecord) -> ApprovalRecord:
    """Encoded and decoded: nobody shares a dictionary with the database."""
    return approval_record(approval_row(approval))


def in_order(runs: list[RunRecord]) -> list[RunRecord]:
    """Runs, oldest first."""
    return sorted(runs, key=lambda run: (run.created_at_us, run.run_id))
