"""The rows of schedules: what is to be run and when, and what came of each firing.

Times are epoch microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from licet.errors import ConflictError

SCHEDULE_TOPIC: Final = "schedules"
"""Its number is raised when a schedule is made, changed or deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRecord:
    """A run that begins at times. ``owner`` "" means nobody.

    ``payload`` is what the agent is asked. ``cron_expr`` "": it is fired on demand only.
    ``snapshot`` is the authority under which it fires (JSON, UTF-8; None: authorization was off),
    never a token. ``updated_at_us`` grows with each change: whoever saves says which one was read.
    """

    id: str
    owner: str
    user_id: str | None = None
    name: str
    description: str | None = None
    agent_id: str
    payload: dict[str, Any] = field(default_factory=dict)
    cron_expr: str = ""
    timezone: str = "UTC"
    timeout_seconds: int = 3600
    max_retries: int = 0
    retry_delay_seconds: int = 60
    enabled: bool = True
    disabled_reason: str | None = None
    snapshot: bytes | None = None
    created_at_us: int
    updated_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedSchedule:
    """What a clock needs of an enabled schedule that has times."""

    id: str
    cron_expr: str
    timezone: str


class ScheduleRunStatus(StrEnum):
    """What came of a firing so far."""

    RUNNING = "running"
    PAUSED = "paused"
    """Its run waits for a decision of people; nobody waits for the run any more."""
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRunRecord:
    """One attempt of one firing; ``owner`` is the schedule's.

    ``run_id`` None: no run was begun, and ``error`` says why; ``status_code`` is what a request for
    the run would have been answered. ``completed_at_us`` None: it has not ended.
    """

    id: str
    schedule_id: str
    owner: str
    agent_id: str
    attempt: int = 1
    run_id: str | None = None
    session_id: str | None = None
    status: ScheduleRunStatus = ScheduleRunStatus.RUNNING
    status_code: int | None = None
    error: str | None = None
    triggered_at_us: int
    completed_at_us: int | None = None
    created_at_us: int


class ScheduleSaving(StrEnum):
    """What came of changing a schedule."""

    SAVED = "saved"
    ABSENT = "absent"
    CHANGED = "changed"
    """It is not what was read any more."""
    NAME_TAKEN = "name_taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleQuery:
    """Which schedules to list. None: no filter. ``page`` counts from 1. No ``ids`` match none."""

    enabled: bool | None = None
    ids: frozenset[str] | None = None
    page: int = 1
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePage:
    """One page of schedules, and how many there are in all."""

    schedules: tuple[ScheduleRecord, ...]
    total_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRunPage:
    """One page of what came of a schedule, and how much there is in all."""

    runs: tuple[ScheduleRunRecord, ...]
    total_count: int


class TooManySchedulesError(ConflictError):
    """Somebody has as many schedules as they may; nothing was stored."""

    code = "too_many_schedules"
