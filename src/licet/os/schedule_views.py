"""How schedules, and what came of them, look on the wire. Times are epoch seconds there."""

from __future__ import annotations

from typing import Any

from licet.db.schedule_records import ScheduleRecord, ScheduleRunRecord
from licet.os.schedule_endpoint import METHOD, endpoint_of
from licet.runs.cron_times import next_time


def schedule_view(schedule: ScheduleRecord, *, now: float) -> dict[str, Any]:
    """A schedule. ``now`` is epoch seconds."""
    return {
        "id": schedule.id,
        "user_id": schedule.user_id,
        "name": schedule.name,
        "description": schedule.description,
        "method": METHOD,
        "endpoint": endpoint_of(schedule.agent_id),
        "payload": schedule.payload,
        "cron_expr": schedule.cron_expr,
        "timezone": schedule.timezone,
        "timeout_seconds": schedule.timeout_seconds,
        "max_retries": schedule.max_retries,
        "retry_delay_seconds": schedule.retry_delay_seconds,
        "enabled": schedule.enabled,
        "next_run_at": _next_run_at(schedule, now),
        "managed_by": None,
        "target_type": "agent",
        "target_id": schedule.agent_id,
        "disabled_reason": schedule.disabled_reason,
        "created_at": _epoch(schedule.created_at_us),
        "updated_at": _epoch(schedule.updated_at_us),
    }


def switched_view(schedule: ScheduleRecord, *, now: float) -> dict[str, Any]:
    """A schedule that was enabled or disabled, in brief."""
    return {
        "id": schedule.id,
        "name": schedule.name,
        "enabled": schedule.enabled,
        "next_run_at": _next_run_at(schedule, now),
        "updated_at": _epoch(schedule.updated_at_us),
    }


def schedule_run_view(run: ScheduleRunRecord, schedule: ScheduleRecord) -> dict[str, Any]:
    """An attempt. What was said in the run is read where the run is."""
    return {
        "id": run.id,
        "schedule_id": run.schedule_id,
        "user_id": schedule.user_id,
        "attempt": run.attempt,
        "triggered_at": _epoch(run.triggered_at_us),
        "completed_at": None if run.completed_at_us is None else _epoch(run.completed_at_us),
        "status": run.status.value,
        "status_code": run.status_code,
        "run_id": run.run_id,
        "session_id": run.session_id,
        "error": run.error,
        "input": None,
        "output": None,
        "requirements": None,
        "created_at": _epoch(run.created_at_us),
    }


def _next_run_at(schedule: ScheduleRecord, now: float) -> int | None:
    if not schedule.enabled or not schedule.cron_expr:
        return None
    return next_time(schedule.cron_expr, schedule.timezone, after=now)


def _epoch(epoch_us: int) -> int:
    return epoch_us // 1_000_000
