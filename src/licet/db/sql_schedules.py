"""The store of schedules in the SQL databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from licet.db import schedule_writes
from licet.db.base import Access
from licet.db.codec import storable
from licet.db.schedule_base import ScheduleStore
from licet.db.schedule_codec import (
    require_own,
    schedule_record,
    schedule_run_record,
    timed_schedule,
)
from licet.db.schedule_records import (
    SchedulePage,
    ScheduleQuery,
    ScheduleRecord,
    ScheduleRunPage,
    ScheduleRunRecord,
    ScheduleSaving,
    TimedSchedule,
)
from licet.db.sql_store import SqlWork
from licet.db.work_codec import check_time
from licet.db.writes import Write

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.engine import Connection, Row

T = TypeVar("T")


def sql_schedules(db: SqlWork, access: Access) -> ScheduleStore:
    """Schedules of a SQL database as one access sees them."""
    return _SqlScheduleStore(db, access)


@dataclass(frozen=True, slots=True)
class _SqlScheduleStore(ScheduleStore):
    db: SqlWork
    access: Access

    async def create(self, schedule: ScheduleRecord, *, limit: int) -> bool:
        require_own(self.access, schedule)
        return await self._write(schedule_writes.create(schedule, limit=limit))

    async def get(self, schedule_id: str) -> ScheduleRecord | None:
        if not storable(schedule_id, self.access.owner):
            return None
        from licet.db import schedule_reads

        rows = await self._rows(schedule_reads.one_schedule(schedule_id, self.access))
        return schedule_record(rows[0]) if rows else None

    async def list_schedules(self, query: ScheduleQuery) -> SchedulePage:
        if not storable(self.access.owner):
            return SchedulePage(schedules=(), total_count=0)
        from licet.db import schedule_reads

        total, rows = await self._page(
            schedule_reads.schedule_count(query, self.access),
            schedule_reads.schedule_page(query, self.access),
        )
        return SchedulePage(schedules=tuple(map(schedule_record, rows)), total_count=total)

    async def timed(self) -> Sequence[TimedSchedule]:
        if not storable(self.access.owner):
            return []
        from licet.db import schedule_reads

        rows = await self._rows(schedule_reads.timed_schedules(self.access))
        return [timed_schedule(row) for row in rows]

    async def save(self, schedule: ScheduleRecord, *, read_at_us: int) -> ScheduleSaving:
        if not self._may_be(schedule.id, schedule.owner):
            return ScheduleSaving.ABSENT
        check_time(read_at_us)
        return await self._write(schedule_writes.save(schedule, read_at_us=read_at_us))

    async def delete(self, schedule_id: str) -> bool:
        if not storable(schedule_id, self.access.owner):
            return False
        owner = None if self.access.sees_all else self.access.owner
        return await self._write(schedule_writes.delete(schedule_id, owner=owner))

    async def begin_run(self, run: ScheduleRunRecord) -> ScheduleRunRecord | None:
        if not self._may_be(run.schedule_id, run.owner):
            return None
        return await self._write(schedule_writes.begin_run(run))

    async def end_run(self, run: ScheduleRunRecord) -> bool:
        if not self._may_be(run.id, run.owner):
            return False
        return await self._write(schedule_writes.end_run(run))

    async def get_run(self, schedule_id: str, schedule_run_id: str) -> ScheduleRunRecord | None:
        if not storable(schedule_id, schedule_run_id, self.access.owner):
            return None
        from licet.db import schedule_reads

        rows = await self._rows(
            schedule_reads.one_schedule_run(schedule_id, schedule_run_id, self.access)
        )
        return schedule_run_record(rows[0]) if rows else None

    async def list_runs(self, schedule_id: str, *, page: int, limit: int) -> ScheduleRunPage:
        if not storable(schedule_id, self.access.owner):
            return ScheduleRunPage(runs=(), total_count=0)
        from licet.db import schedule_reads

        total, rows = await self._page(
            schedule_reads.schedule_run_count(schedule_id, self.access),
            schedule_reads.schedule_run_page(schedule_id, self.access, page=page, limit=limit),
        )
        return ScheduleRunPage(runs=tuple(map(schedule_run_record, rows)), total_count=total)

    def _may_be(self, identifier: str, owner: str) -> bool:
        return self.access.reaches(owner) and storable(identifier, owner)

    async def _page(self, count: Select[Any], page: Select[Any]) -> tuple[int, Sequence[Row[Any]]]:
        def both(connection: Connection) -> tuple[int, Sequence[Row[Any]]]:
            return connection.execute(count).scalar_one(), connection.execute(page).all()

        return await self.db.read(both, access=self.access)

    async def _rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        return await self.db.read(
            lambda connection: connection.execute(statement).all(), access=self.access
        )

    async def _write(self, write: Write[T]) -> T:
        return await self.db.write(write, access=self.access)
