"""The ScheduleStore protocol: schedules as one access sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from licet.db.schedule_records import (
    SchedulePage,
    ScheduleQuery,
    ScheduleRecord,
    ScheduleRunPage,
    ScheduleRunRecord,
    ScheduleSaving,
    TimedSchedule,
)


class ScheduleStore(Protocol):
    """Schedules, and what came of their firings. Every method may raise ``StorageError``.

    What another owner has behaves exactly as what does not exist. What makes, changes or deletes a
    schedule raises the number of ``SCHEDULE_TOPIC``.
    """

    async def create(self, schedule: ScheduleRecord, *, limit: int) -> bool:
        """Store a new schedule. False: its owner has one of that name, or there is one of that id.

        Raises:
            NotFoundError: ``schedule.owner`` is not reached by this access.
            TooManySchedulesError: its owner has ``limit`` of them.
        """

    async def get(self, schedule_id: str) -> ScheduleRecord | None:
        """The schedule of that id."""

    async def list_schedules(self, query: ScheduleQuery) -> SchedulePage:
        """One page of the schedules that this access reaches, the newest first."""

    async def timed(self) -> Sequence[TimedSchedule]:
        """Those that are enabled and have times, by id."""

    async def save(self, schedule: ScheduleRecord, *, read_at_us: int) -> ScheduleSaving:
        """Change a schedule to what is given, if it is as it was read: with that ``updated_at_us``.

        Its id, owner, ``user_id`` and ``created_at_us`` stay. What is not SAVED wrote nothing.
        """

    async def delete(self, schedule_id: str) -> bool:
        """Delete a schedule with what came of it; its runs stay. False: there is none."""

    async def begin_run(self, run: ScheduleRunRecord) -> ScheduleRunRecord | None:
        """Store an attempt, unless there is one of that id; answer the one that is stored.

        None: there is no such schedule.
        """

    async def end_run(self, run: ScheduleRunRecord) -> bool:
        """Store where an attempt stands: its run, status, code, error and end.

        False, and nothing is written: it has ended, or is gone.
        """

    async def get_run(self, schedule_id: str, schedule_run_id: str) -> ScheduleRunRecord | None:
        """One attempt."""

    async def list_runs(self, schedule_id: str, *, page: int, limit: int) -> ScheduleRunPage:
        """One page of the attempts of a schedule, the latest first. ``page`` counts from 1."""
