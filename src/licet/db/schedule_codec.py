"""The rows of schedules to records and back, in the order of the columns named here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from licet.db.base import Access
from licet.db.codec import checked, json_text, text_of
from licet.db.schedule_records import (
    ScheduleRecord,
    ScheduleRunRecord,
    ScheduleRunStatus,
    TimedSchedule,
)
from licet.errors import NotFoundError

SCHEDULE_COLUMNS = (
    "id",
    "owner",
    "user_id",
    "name",
    "description",
    "agent_id",
    "payload",
    "cron_expr",
    "timezone",
    "timeout_seconds",
    "max_retries",
    "retry_delay_seconds",
    "enabled",
    "disabled_reason",
    "snapshot",
    "created_at_us",
    "updated_at_us",
)
SCHEDULE_RUN_COLUMNS = (
    "id",
    "schedule_id",
    "owner",
    "agent_id",
    "attempt",
    "run_id",
    "session_id",
    "status",
    "status_code",
    "error",
    "triggered_at_us",
    "completed_at_us",
    "created_at_us",
)

_INDEXED = frozenset({"id", "owner", "name", "schedule_id"})


def require_own(access: Access, schedule: ScheduleRecord) -> None:
    """Refuse to make a schedule for somebody whom the access does not reach.

    Raises:
        NotFoundError: the owner is not reached.
    """
    if not access.reaches(schedule.owner):
        raise NotFoundError("schedule", schedule.id)


def schedule_row(schedule: ScheduleRecord) -> tuple[Any, ...]:
    """A schedule's values.

    Raises:
        StorageError: a text or a value of it cannot be stored.
    """
    name = f"schedule {schedule.id!r}: the"
    row = (
        schedule.id,
        schedule.owner,
        schedule.user_id,
        schedule.name,
        schedule.description,
        schedule.agent_id,
        json_text(schedule.payload, f"{name} payload"),
        schedule.cron_expr,
        schedule.timezone,
        schedule.timeout_seconds,
        schedule.max_retries,
        schedule.retry_delay_seconds,
        int(schedule.enabled),
        schedule.disabled_reason,
        None if schedule.snapshot is None else text_of(schedule.snapshot, f"{name} snapshot"),
        schedule.created_at_us,
        schedule.updated_at_us,
    )
    return checked(row, SCHEDULE_COLUMNS, indexed=_INDEXED)


def schedule_record(row: Sequence[Any]) -> ScheduleRecord:
    """A row of schedules as a record."""
    values = dict(zip(SCHEDULE_COLUMNS, row, strict=True))
    snapshot = values["snapshot"]
    return ScheduleRecord(
        **{
            **values,
            "payload": msgspec.json.decode(values["payload"]),
            "enabled": bool(values["enabled"]),
            "snapshot": None if snapshot is None else snapshot.encode(),
        }
    )


def timed_schedule(row: Sequence[Any]) -> TimedSchedule:
    """The id, times and zone of a schedule as a record."""
    return TimedSchedule(id=row[0], cron_expr=row[1], timezone=row[2])


def schedule_run_row(run: ScheduleRunRecord) -> tuple[Any, ...]:
    """The values of an attempt.

    Raises:
        StorageError: a text or a number of it cannot be stored.
    """
    row = tuple(getattr(run, name) for name in SCHEDULE_RUN_COLUMNS)
    return checked(
        tuple(v.value if isinstance(v, ScheduleRunStatus) else v for v in row),
        SCHEDULE_RUN_COLUMNS,
        indexed=_INDEXED,
    )


def schedule_run_record(row: Sequence[Any]) -> ScheduleRunRecord:
    """A row of attempts as a record."""
    values = dict(zip(SCHEDULE_RUN_COLUMNS, row, strict=True))
    return ScheduleRunRecord(**{**values, "status": ScheduleRunStatus(values["status"])})
