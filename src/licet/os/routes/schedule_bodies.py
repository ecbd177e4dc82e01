"""What clients may send about schedules, read strictly. Other fields are never looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from starlette.requests import Request

from licet.db.schedule_records import ScheduleRecord
from licet.errors import InvalidInputError
from licet.os import values
from licet.os.schedule_endpoint import METHOD, agent_of, endpoint_of
from licet.os.scheduled_runs import PAYLOAD_FIELDS
from licet.runs.cron_times import check_times, check_timezone

MAX_DESCRIPTION_CHARS = 2000
MAX_ENDPOINT_CHARS = 1000
MAX_TIMEOUT_SECONDS = 7 * 86_400
MAX_RETRIES = 100
MAX_DELAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFields:
    """What a schedule is to be, checked by itself; whether its agent takes it is asked later."""

    name: str
    description: str | None
    agent_id: str
    payload: dict[str, Any]
    cron_expr: str
    timezone: str
    timeout_seconds: int
    max_retries: int
    retry_delay_seconds: int

    def applied_to(self, schedule: ScheduleRecord) -> ScheduleRecord:
        """A schedule with these fields."""
        return replace(schedule, **{each.name: getattr(self, each.name) for each in fields(self)})


async def read_new_schedule(request: Request) -> ScheduleFields:
    """The body of ``POST /schedules``."""
    given = values.json_body(await request.body())
    for field in ("name", "endpoint"):
        if given.get(field) is None:
            raise values.MissingFieldError(field)
    return _fields(given)


async def read_changes(request: Request) -> Mapping[str, Any]:
    """The body of ``PATCH /schedules/{id}``: what is absent, or null, stays as it is."""
    return values.json_body(await request.body())


def changed_fields(schedule: ScheduleRecord, given: Mapping[str, Any]) -> ScheduleFields:
    """What a schedule is to be after changes."""
    now = {
        "name": schedule.name,
        "description": schedule.description,
        "endpoint": endpoint_of(schedule.agent_id),
        "payload": schedule.payload,
        "cron_expr": schedule.cron_expr,
        "timezone": schedule.timezone,
        "timeout_seconds": schedule.timeout_seconds,
        "max_retries": schedule.max_retries,
        "retry_delay_seconds": schedule.retry_delay_seconds,
    }
    return _fields({**now, **{k: v for k, v in given.items() if v is not None}})


def _fields(given: Mapping[str, Any]) -> ScheduleFields:
    cron_expr, timezone = _times(given)
    return ScheduleFields(
        name=values.identifier(given["name"], "name"),
        description=_text(given, "description", "", MAX_DESCRIPTION_CHARS) or None,
        agent_id=agent_of(
            _text(given, "method", METHOD, MAX_ENDPOINT_CHARS),
            _text(given, "endpoint", "", MAX_ENDPOINT_CHARS),
        ),
        payload=_payload(given),
        cron_expr=cron_expr,
        timezone=timezone,
        timeout_seconds=_whole(given, "timeout_seconds", 3600, 1, MAX_TIMEOUT_SECONDS),
        max_retries=_whole(given, "max_retries", 0, 0, MAX_RETRIES),
        retry_delay_seconds=_whole(given, "retry_delay_seconds", 60, 0, MAX_DELAY_SECONDS),
    )


def _times(given: Mapping[str, Any]) -> tuple[str, str]:
    cron_expr = " ".join(values.text(_or(given, "cron_expr", ""), "cron_expr").split())
    timezone = values.text(_or(given, "timezone", "UTC"), "timezone")
    if cron_expr:
        check_times(cron_expr, timezone)
    else:
        check_timezone(timezone)
    return cron_expr, timezone


def _payload(given: Mapping[str, Any]) -> dict[str, Any]:
    payload = values.json_object(_or(given, "payload", {}), "payload")
    return {name: payload[name] for name in PAYLOAD_FIELDS if payload.get(name) is not None}


def _or(given: Mapping[str, Any], field: str, default: Any) -> Any:
    value = given.get(field)
    return default if value is None else value


def _text(given: Mapping[str, Any], field: str, default: str, most_chars: int) -> str:
    value = values.text(_or(given, field, default), field)
    if len(value) > most_chars:
        raise InvalidInputError(field, f"at most {most_chars} characters")
    return value


def _whole(given: Mapping[str, Any], field: str, default: int, least: int, most: int) -> int:
    value = _or(given, field, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidInputError(field, f"a whole number from {least} to {most}")
    return value
