"""The store of schedules in InMemoryDb."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from licet.db.base import Access
from licet.db.codec import storable
from licet.db.in_memory_topics import InMemoryTopics
from licet.db.schedule_base import ScheduleStore
from licet.db.schedule_codec import require_own, schedule_record, schedule_row, schedule_run_row
from licet.db.schedule_records import (
    SCHEDULE_TOPIC,
    SchedulePage,
    ScheduleQuery,
    ScheduleRecord,
    ScheduleRunPage,
    ScheduleRunRecord,
    ScheduleSaving,
    TimedSchedule,
)
from licet.db.schedule_writes import too_many
from licet.db.work_codec import check_time

T = TypeVar("T")


@dataclass(slots=True)
class InMemorySchedules:
    """Every schedule and attempt of one database. Who reads or writes them holds the lock."""

    topics: InMemoryTopics
    schedules: dict[str, ScheduleRecord] = field(default_factory=dict)
    runs: dict[str, ScheduleRunRecord] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def as_seen_by(self, access: Access) -> ScheduleStore:
        """Them as one access sees them."""
        return _InMemoryScheduleStore(self, access)


@dataclass(frozen=True, slots=True)
class _InMemoryScheduleStore(ScheduleStore):
    rows: InMemorySchedules
    access: Access

    async def create(self, schedule: ScheduleRecord, *, limit: int) -> bool:
        require_own(self.access, schedule)
        kept = _copied(schedule)
        with self.rows.lock:
            own = [s for s in self.rows.schedules.values() if s.owner == schedule.owner]
            if len(own) >= limit:
                raise too_many(limit)
            if schedule.id in self.rows.schedules or any(s.name == schedule.name for s in own):
                return False
            self.rows.schedules[schedule.id] = kept
        self._raise()
        return True

    async def get(self, schedule_id: str) -> ScheduleRecord | None:
        with self.rows.lock:
            return self._reached(schedule_id)

    async def list_schedules(self, query: ScheduleQuery) -> SchedulePage:
        with self.rows.lock:
            found = [
                _copied(s)
                for s in self.rows.schedules.values()
                if self.access.reaches(s.owner)
                and query.enabled in (None, s.enabled)
                and (query.ids is None or s.id in query.ids)
            ]
        found.sort(key=lambda s: (s.created_at_us, s.id), reverse=True)
        page = _page(found, query.page, query.limit)
        return SchedulePage(schedules=page, total_count=len(found))

    async def timed(self) -> Sequence[TimedSchedule]:
        with self.rows.lock:
            found = [
                TimedSchedule(id=s.id, cron_expr=s.cron_expr, timezone=s.timezone)
                for s in self.rows.schedules.values()
                if self.access.reaches(s.owner) and s.enabled and s.cron_expr
            ]
        return sorted(found, key=lambda timed: timed.id)

    async def save(self, schedule: ScheduleRecord, *, read_at_us: int) -> ScheduleSaving:
        if not self._may_be(schedule.id, schedule.owner):
            return ScheduleSaving.ABSENT
        check_time(read_at_us)
        kept = _copied(schedule)
        with self.rows.lock:
            saving = self._saving(schedule, read_at_us)
            if saving is ScheduleSaving.SAVED:
                old = self.rows.schedules[schedule.id]
                self.rows.schedules[schedule.id] = replace(
                    kept, user_id=old.user_id, created_at_us=old.created_at_us
                )
        self._raise()
        return saving

    async def delete(self, schedule_id: str) -> bool:
        with self.rows.lock:
            known = self._reached(schedule_id) is not None
            if known:
                del self.rows.schedules[schedule_id]
                for run in [r for r in self.rows.runs.values() if r.schedule_id == schedule_id]:
                    del self.rows.runs[run.id]
        self._raise()
        return known

    async def begin_run(self, run: ScheduleRunRecord) -> ScheduleRunRecord | None:
        if not self._may_be(run.schedule_id, run.owner):
            return None
        schedule_run_row(run)
        with self.rows.lock:
            schedule = self._reached(run.schedule_id)
            if schedule is None or schedule.owner != run.owner:
                return None
            stored = self.rows.runs.setdefault(run.id, run)
        of_this = (stored.schedule_id, stored.owner) == (run.schedule_id, run.owner)
        return stored if of_this else None

    async def end_run(self, run: ScheduleRunRecord) -> bool:
        if not self._may_be(run.id, run.owner):
            return False
        schedule_run_row(run)
        with self.rows.lock:
            stored = self.rows.runs.get(run.id)
            if stored is None or stored.owner != run.owner or stored.completed_at_us is not None:
                return False
            self.rows.runs[run.id] = replace(
                stored,
                run_id=run.run_id,
                session_id=run.session_id,
                status=run.status,
                status_code=run.status_code,
                error=run.error,
                completed_at_us=run.completed_at_us,
            )
            return True

    async def get_run(self, schedule_id: str, schedule_run_id: str) -> ScheduleRunRecord | None:
        with self.rows.lock:
            run = self.rows.runs.get(schedule_run_id)
        if run is None or run.schedule_id != schedule_id or not self.access.reaches(run.owner):
            return None
        return run

    async def list_runs(self, schedule_id: str, *, page: int, limit: int) -> ScheduleRunPage:
        with self.rows.lock:
            found = [
                run
                for run in self.rows.runs.values()
                if run.schedule_id == schedule_id and self.access.reaches(run.owner)
            ]
        found.sort(key=lambda run: (run.triggered_at_us, run.attempt, run.id), reverse=True)
        return ScheduleRunPage(runs=_page(found, page, limit), total_count=len(found))

    def _may_be(self, identifier: str, owner: str) -> bool:
        return self.access.reaches(owner) and storable(identifier, owner)

    def _reached(self, schedule_id: str) -> ScheduleRecord | None:
        known = self.rows.schedules.get(schedule_id)
        return _copied(known) if known is not None and self.access.reaches(known.owner) else None

    def _saving(self, schedule: ScheduleRecord, read_at_us: int) -> ScheduleSaving:
        known = self._reached(schedule.id)
        if known is None or known.owner != schedule.owner:
            return ScheduleSaving.ABSENT
        if known.updated_at_us != read_at_us:
            return ScheduleSaving.CHANGED
        namesakes = [
            other
            for other in self.rows.schedules.values()
            if (other.owner, other.name) == (schedule.owner, schedule.name)
            and other.id != schedule.id
        ]
        return ScheduleSaving.NAME_TAKEN if namesakes else ScheduleSaving.SAVED

    def _raise(self) -> None:
        self.rows.topics.raised(SCHEDULE_TOPIC)


def _copied(schedule: ScheduleRecord) -> ScheduleRecord:
    """Encoded and decoded: nobody shares a dictionary with the database."""
    return schedule_record(schedule_row(schedule))


def _page(found: Sequence[T], page: int, limit: int) -> tuple[T, ...]:
    bounded = max(0, limit)
    start = max(0, page - 1) * bounded
    return tuple(found[start : start + bounded])
