"""The reads of schedules, in SQLAlchemy Core. Every one carries the owner, or sees all of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from licet.db.base import Access
from licet.db.codec import MAX_INTEGER, storable, within_columns
from licet.db.schedule_codec import SCHEDULE_COLUMNS, SCHEDULE_RUN_COLUMNS
from licet.db.schedule_records import ScheduleQuery
from licet.db.tables import schedule_runs, schedules


def one_schedule(schedule_id: str, access: Access) -> Select[Any]:
    """The schedule of that id."""
    return select(*[schedules.c[name] for name in SCHEDULE_COLUMNS]).where(
        schedules.c.id == schedule_id, *_reached(access)
    )


def timed_schedules(access: Access) -> Select[Any]:
    """The ids, times and zones of those that are enabled and have times."""
    return (
        select(schedules.c.id, schedules.c.cron_expr, schedules.c.timezone)
        .where(schedules.c.enabled == 1, schedules.c.cron_expr != "", *_reached(access))
        .order_by(schedules.c.id)
    )


def schedule_count(query: ScheduleQuery, access: Access) -> Select[Any]:
    """How many schedules a list has, over all its pages."""
    return select(func.count()).select_from(schedules).where(*_wanted(query, access))


def schedule_page(query: ScheduleQuery, access: Access) -> Select[Any]:
    """One page of a list of schedules."""
    limit, offset = _place(query.page, query.limit)
    return (
        select(*[schedules.c[name] for name in SCHEDULE_COLUMNS])
        .where(*_wanted(query, access))
        .order_by(schedules.c.created_at_us.desc(), schedules.c.id.desc())
        .limit(limit)
        .offset(offset)
    )


def one_schedule_run(schedule_id: str, schedule_run_id: str, access: Access) -> Select[Any]:
    """One attempt."""
    return select(*[schedule_runs.c[name] for name in SCHEDULE_RUN_COLUMNS]).where(
        schedule_runs.c.id == schedule_run_id, *_of_schedule(schedule_id, access)
    )


def schedule_run_count(schedule_id: str, access: Access) -> Select[Any]:
    """How many attempts a schedule has."""
    return select(func.count()).select_from(schedule_runs).where(*_of_schedule(schedule_id, access))


def schedule_run_page(schedule_id: str, access: Access, *, page: int, limit: int) -> Select[Any]:
    """One page of the attempts of a schedule."""
    limit, offset = _place(page, limit)
    return (
        select(*[schedule_runs.c[name] for name in SCHEDULE_RUN_COLUMNS])
        .where(*_of_schedule(schedule_id, access))
        .order_by(
            schedule_runs.c.triggered_at_us.desc(),
            schedule_runs.c.attempt.desc(),
            schedule_runs.c.id.desc(),
        )
        .limit(limit)
        .offset(offset)
    )


def _reached(access: Access) -> list[ColumnElement[bool]]:
    return [] if access.sees_all else [schedules.c.owner == access.owner]


def _wanted(query: ScheduleQuery, access: Access) -> list[ColumnElement[bool]]:
    wanted = _reached(access)
    if query.enabled is not None:
        wanted.append(schedules.c.enabled == int(query.enabled))
    if query.ids is not None:
        wanted.append(schedules.c.id.in_([each for each in query.ids if storable(each)]))
    return wanted


def _of_schedule(schedule_id: str, access: Access) -> list[ColumnElement[bool]]:
    reached = [] if access.sees_all else [schedule_runs.c.owner == access.owner]
    return [schedule_runs.c.schedule_id == schedule_id, *reached]


def _place(page: int, limit: int) -> tuple[int, int]:
    bounded = within_columns(max(0, limit))
    return bounded, min(MAX_INTEGER, max(0, page - 1) * bounded)
