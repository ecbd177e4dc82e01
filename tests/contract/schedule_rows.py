"""Schedules and attempts with the values that a test does not care about."""

from __future__ import annotations

import uuid
from typing import Any

from licet.db.base import Access, Db
from licet.db.schedule_records import (
    ScheduleQuery,
    ScheduleRecord,
    ScheduleRunRecord,
    ScheduleRunStatus,
)
from tests.contract.rows import ADMIN, tick

MANY = 1000


def schedule(name: str = "n", *, owner: str = "alice", **values: Any) -> ScheduleRecord:
    """A schedule that is enabled and has times."""
    at = values.pop("at", None) or tick()
    usual = {
        "id": uuid.uuid4().hex,
        "agent_id": "agent",
        "payload": {"message": "hi"},
        "cron_expr": "0 9 * * *",
        "snapshot": b'{"subject": "alice"}',
        "created_at_us": at,
        "updated_at_us": at,
    }
    return ScheduleRecord(**{"name": name, "owner": owner, **usual, **values})


def attempt(of: ScheduleRecord, **values: Any) -> ScheduleRunRecord:
    """An attempt that has begun its run."""
    at = values.pop("at", None) or tick()
    usual = {
        "id": uuid.uuid4().hex,
        "schedule_id": of.id,
        "owner": of.owner,
        "agent_id": of.agent_id,
        "run_id": "r",
        "session_id": "s",
        "triggered_at_us": at,
        "created_at_us": at,
    }
    return ScheduleRunRecord(**{**usual, **values})


def outcome(**values: Any) -> dict[str, Any]:
    """How an attempt ended that was refused."""
    usual = {
        "status": ScheduleRunStatus.FAILED,
        "status_code": 403,
        "error": "no",
        "run_id": None,
        "session_id": None,
        "completed_at_us": tick(),
    }
    return {**usual, **values}


async def made(db: Db, name: str = "n", **values: Any) -> ScheduleRecord:
    """Store a schedule on behalf of its owner, and answer it."""
    record = schedule(name, **values)
    assert await db.schedules(Access(record.owner)).create(record, limit=MANY)
    return record


async def names(db: Db, access: Access = ADMIN, **query: Any) -> list[str]:
    """The names in a list of schedules."""
    page = await db.schedules(access).list_schedules(ScheduleQuery(**query))
    return [each.name for each in page.schedules]
