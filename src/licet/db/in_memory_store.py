"""The store of InMemoryDb: sessions and runs as one access sees them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from licet.db.access import (
    may_exist,
    require_first_state,
    require_going_on,
    require_own_request,
    require_paused,
    require_queueable,
    require_reach,
    require_same_session,
    require_working,
)
from licet.db.approval_codec import approval_row
from licet.db.approval_records import ApprovalRecord
from licet.db.base import Access, SessionChanges, Store
from licet.db.codec import check_run, head_of, json_text, session_record, session_row, storable
from licet.db.in_memory_rows import InMemoryRows, in_order
from licet.db.in_memory_topics import InMemoryTopics
from licet.db.records import (
    MAX_RECENT_RUNS,
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
from licet.db.work_codec import check_time, job_row, once_row
from licet.db.work_records import (
    WORK_TOPIC,
    JobRecord,
    Once,
    QueueFullError,
    QueueLimits,
    RepeatedRequestError,
)
from licet.errors import ConflictError


def in_memory_store(rows: InMemoryRows, topics: InMemoryTopics, access: Access) -> Store:
    """Rows of this process as one access sees them."""
    return _InMemoryStore(rows, topics, access)


@dataclass(frozen=True, slots=True)
class _InMemoryStore(Store):
    rows: InMemoryRows
    topics: InMemoryTopics
    access: Access

    async def begin_run(
        self,
        session: SessionRecord,
        run: RunRecord,
        *,
        history_runs: int,
        once: Once | None = None,
    ) -> BegunRun:
        self._require(session, run, once)
        require_first_state(run)
        with self.rows.lock:
            self._put_new(session, run, once)
            return self._begun(run, history_runs)

    async def enqueue_run(
        self,
        session: SessionRecord,
        run: RunRecord,
        job: JobRecord,
        *,
        limits: QueueLimits,
        once: Once | None = None,
    ) -> None:
        self._require(session, run, once)
        require_queueable(run, job)
        job_row(job, owner=run.owner)
        with self.rows.lock:
            waiting = len(self.rows.in_state(RunStatus.PENDING, durable=True))
            self._check_new(run, once)
            if limits.waiting is not None and waiting >= limits.waiting:
                raise QueueFullError(f"{limits.waiting} runs wait already, which is as many as may")
            self._put_new(session, run, once)
            self.rows.jobs[job.run_id] = job

    async def work_on_run(self, run: RunRecord, *, history_runs: int) -> BegunRun | None:
        if not self._may_be(run.session_key, run.run_id):
            return None
        require_working(run)
        check_run(run)
        with self.rows.lock:
            if self._run(run.session_key, run.run_id) is None or not self.rows.reach(run, None):
                return None
            return self._begun(run, history_runs)

    async def save_run(self, run: RunRecord, *, session_state: dict[str, Any] | None) -> Saving:
        if not self._may_be(run.session_key, run.run_id):
            return Saving.ABSENT
        check_run(run)
        if session_state is not None:
            json_text(session_state, "session_state")
        with self.rows.lock:
            if self._run(run.session_key, run.run_id) is None:
                return Saving.ABSENT
            return Saving.SAVED if self.rows.reach(run, session_state) else Saving.REFUSED

    async def pause_run(
        self,
        run: RunRecord,
        *,
        session_state: dict[str, Any] | None,
        job: JobRecord | None,
        approvals: Sequence[ApprovalRecord],
    ) -> Saving:
        if not self._may_be(run.session_key, run.run_id):
            return Saving.ABSENT
        require_paused(run, job, approvals)
        _check_storable(run, session_state, job, approvals)
        with self.rows.lock:
            if self._run(run.session_key, run.run_id) is None:
                return Saving.ABSENT
            if run.run_id in self.rows.cancels_asked or not self.rows.may_reach(run):
                return Saving.REFUSED
            _check_new_approvals(approvals, self.rows.approvals)
            self.rows.reach(run, session_state)
            self.rows.put_run(replace(self.rows.runs[run.run_id], executor_id=None))
            if job is not None:
                self.rows.jobs.setdefault(run.run_id, job)
            for each in approvals:
                self.rows.put_approval(each)
            return Saving.SAVED

    async def continue_run(
        self, run: RunRecord, *, paused_at_us: int, history_runs: int
    ) -> BegunRun | None:
        if not self._may_be(run.session_key, run.run_id):
            return None
        require_going_on(run)
        check_run(run)
        with self.rows.lock:
            before = self._run(run.session_key, run.run_id)
            if (
                before is None
                or before.status is not RunStatus.PAUSED
                or before.updated_at_us != paused_at_us
                or self.rows.is_undecided(run.run_id)
                or (run.status is RunStatus.PENDING and run.run_id not in self.rows.jobs)
            ):
                return None
            self.rows.put_run(
                replace(
                    before,
                    status=run.status,
                    body=run.body,
                    updated_at_us=run.updated_at_us,
                    executor_id=run.executor_id,
                    durable=run.durable,
                )
            )
            return self._begun(run, history_runs)

    async def ask_to_cancel(self, key: SessionKey, run_id: str, *, now_us: int) -> bool:
        if not self._may_be(key, run_id):
            return False
        check_time(now_us)
        with self.rows.lock:
            run = self._run(key, run_id)
            if run is None or run.status is not RunStatus.RUNNING:
                return False
            self.rows.cancels_asked.add(run_id)
        self.topics.raised(WORK_TOPIC)
        return True

    async def find_run(self, run_id: str) -> RunRecord | None:
        with self.rows.lock:
            run = self.rows.runs.get(run_id)
        return run if run is not None and self.access.reaches(run.owner) else None

    async def get_run(self, key: SessionKey, run_id: str) -> RunRecord | None:
        with self.rows.lock:
            return self._run(key, run_id)

    async def list_runs(self, key: SessionKey, query: RunQuery) -> Sequence[RunRecord]:
        if not may_exist(self.access, key):
            return []
        with self.rows.lock:
            return [run for run in self.rows.of_session(key) if _run_fits(run, query)]

    async def recent_runs(self, query: RecentRuns) -> Sequence[RunHead]:
        with self.rows.lock:
            reached = [run for run in self.rows.runs.values() if self.access.reaches(run.owner)]
        found = in_order([run for run in reached if _is_wanted(run, query)])[::-1]
        return [head_of(run) for run in found[: min(MAX_RECENT_RUNS, max(0, query.limit))]]

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

    def _require(self, session: SessionRecord, run: RunRecord, once: Once | None) -> None:
        require_reach(self.access, session)
        require_same_session(session, run)
        require_own_request(self.access, once)
        session_row(session)
        check_run(run)
        if once is not None:
            once_row(once, run)

    def _may_be(self, key: SessionKey, run_id: str) -> bool:
        return may_exist(self.access, key) and storable(run_id)

    def _check_new(self, run: RunRecord, once: Once | None) -> None:
        known = self.rows.once.get((once.owner, once.route, once.key)) if once else None
        if once is not None and known is not None:
            earlier, run_id = known
            raise RepeatedRequestError(
                self.rows.runs[run_id].session_key, run_id, same=earlier.digest == once.digest
            )
        if run.run_id in self.rows.runs:
            raise ConflictError(f"a run {run.run_id!r} exists already")

    def _put_new(self, session: SessionRecord, run: RunRecord, once: Once | None) -> None:
        self._check_new(run, once)
        if session.key not in self.rows.sessions:
            self.rows.put_session(session)
        self.rows.put_run(run)
        if once is not None:
            self.rows.put_once(once, run.run_id)

    def _begun(self, run: RunRecord, history_runs: int) -> BegunRun:
        return BegunRun(
            session=session_record(self.rows.sessions[run.session_key]),
            history=self.rows.history(run, history_runs),
        )

    def _run(self, key: SessionKey, run_id: str) -> RunRecord | None:
        run = self.rows.runs.get(run_id) if may_exist(self.access, key) else None
        return run if run is not None and run.session_key == key else None

    def _reached(self) -> Iterable[SessionRecord]:
        with self.rows.lock:
            kept = list(self.rows.sessions.items())
        return [session_record(row) for key, row in kept if self.access.reaches(key.owner)]


def _check_storable(
    run: RunRecord,
    session_state: dict[str, Any] | None,
    job: JobRecord | None,
    approvals: Sequence[ApprovalRecord],
) -> None:
    check_run(run)
    if session_state is not None:
        json_text(session_state, "session_state")
    if job is not None:
        job_row(job, owner=run.owner)
    for each in approvals:
        approval_row(each)


def _check_new_approvals(approvals: Sequence[ApprovalRecord], known: Collection[str]) -> None:
    ids: set[str] = set()
    for each in approvals:
        if each.id in known or each.id in ids:
            raise ConflictError(f"an approval {each.id!r} exists already")
        ids.add(each.id)


def _run_fits(run: RunRecord, query: RunQuery) -> bool:
    low, high = query.created_from_us, query.created_to_us
    return (
        query.component_id in (None, run.component_id)
        and (not query.statuses or run.status in query.statuses)
        and (low is None or run.created_at_us >= low)
        and (high is None or run.created_at_us <= high)
    )


def _is_wanted(run: RunRecord, query: RecentRuns) -> bool:
    return (
        (not query.statuses or run.status in query.statuses)
        and query.component_id in (None, run.component_id)
        and query.session_id in (None, run.session_id)
        and query.user_id in (None, run.user_id)
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
