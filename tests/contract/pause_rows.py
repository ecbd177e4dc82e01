"""Paused runs and approvals with the values that a test does not care about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from licet.db.approval_records import ApprovalQuery, ApprovalRecord, Resolution
from licet.db.base import Access, Db
from licet.db.records import RunRecord, RunStatus, Saving
from tests.contract.rows import everything, run, stored, tick
from tests.contract.work_rows import job_of

EVERY_APPROVAL = ApprovalQuery(now_us=0, limit=1000)


def approval(of: RunRecord, approval_id: str = "a", **values: Any) -> ApprovalRecord:
    """An approval that a run waits for; with the last one it goes on by itself."""
    usual = {
        "id": approval_id,
        "run_id": of.run_id,
        "owner": of.owner,
        "session_id": of.session_id,
        "component_id": of.component_id,
        "user_id": of.user_id,
        "tool_call_id": f"call of {approval_id}",
        "tool_name": "refund",
        "arguments": '{"cents": 5}',
        "requested_by": of.owner,
        "continues": True,
        "created_at_us": tick(),
    }
    return ApprovalRecord(**{**usual, **values})


def decision(*, approved: bool = True, **values: Any) -> Resolution:
    """What a manager decides, now."""
    usual = {"by": "mia", "by_owner": "main:mia", "at_us": tick()}
    return Resolution(**{"approved": approved, **usual, **values})


def pausing(record: RunRecord, **values: Any) -> RunRecord:
    """A run as whoever works on it pauses it."""
    reached = {"status": RunStatus.PAUSED, "body": b'"waits"', "updated_at_us": tick()}
    return replace(record, **{**reached, **values})


async def at_work(db: Db, session_id: str = "s", **values: Any) -> RunRecord:
    """A durable run that a process works on."""
    record = run(session_id, **{"executor_id": "e", "durable": True, **values})
    return await stored(db.store(Access(record.owner)), record)


async def pause(
    db: Db, record: RunRecord, approvals: Sequence[ApprovalRecord] = (), **values: Any
) -> RunRecord:
    """Pause a run at work, with its job, and answer it as it is stored then."""
    reached = pausing(record, **values)
    saving = await db.store(Access(record.owner)).pause_run(
        reached, session_state=None, job=job_of(record), approvals=approvals
    )
    assert saving is Saving.SAVED
    return replace(reached, executor_id=None)


async def paused(
    db: Db, *approval_ids: str, of: dict[str, Any] | None = None, **values: Any
) -> RunRecord:
    """A durable run that waits for approvals. ``of``: what they hold."""
    record = await at_work(db, **values)
    return await pause(db, record, [approval(record, each, **(of or {})) for each in approval_ids])


def gone_on(record: RunRecord, status: RunStatus = RunStatus.RUNNING, **values: Any) -> RunRecord:
    """A paused run as whoever goes on with it stores it."""
    executor_id = "f" if status is RunStatus.RUNNING else None
    reached = {"body": b'"goes on"', "updated_at_us": tick(), "executor_id": executor_id}
    return replace(record, status=status, **{**reached, **values})


async def whole(db: Db) -> list[Any]:
    """All that is stored of runs, with their approvals and jobs."""
    rows = await everything(db)
    jobs = [await db.work().job(row.run_id) for row in rows if isinstance(row, RunRecord)]
    return [*rows, *jobs, await db.approvals().list(EVERY_APPROVAL)]
