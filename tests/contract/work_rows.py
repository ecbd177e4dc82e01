"""Queued runs, jobs, requests and executors with the values that a test does not care about."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from licet.db.base import Access, Db
from licet.db.records import RunRecord, RunStatus, Saving
from licet.db.work_records import (
    WORK_TOPIC,
    ClaimedRun,
    ExecutorRecord,
    JobRecord,
    Once,
    QueueLimits,
)
from tests.contract.rows import run, session, tick

UNLIMITED = QueueLimits()
AGENTS = ("agent",)
"""Those of the runs here, where nothing else is said."""


def queued(session_id: str = "s", *, owner: str = "alice", **values: Any) -> RunRecord:
    """A durable run that waits."""
    return run(session_id, owner=owner, **{"status": RunStatus.PENDING, "durable": True, **values})


def job_of(record: RunRecord, **values: Any) -> JobRecord:
    """What a durable run needs; it counts for its owner."""
    usual = {
        "run_id": record.run_id,
        "principal_key": record.owner,
        "request": b'{"message": "hi"}',
        "snapshot": b'{"subject": "alice"}',
        "created_at_us": record.created_at_us,
    }
    return JobRecord(**{**usual, **values})


def once(key: str = "k", *, owner: str = "alice", **values: Any) -> Once:
    """A request that is to be done once."""
    usual = {"route": "POST /runs", "digest": "d", "created_at_us": tick()}
    return Once(**{"owner": owner, "key": key, **usual, **values})


def executor(executor_id: str = "e", **values: Any) -> ExecutorRecord:
    """A process that has just begun to work."""
    return ExecutorRecord(**{"id": executor_id, "started_at_us": tick(), **values})


async def enqueued(
    db: Db,
    session_id: str = "s",
    *,
    principal_key: str | None = None,
    limits: QueueLimits = UNLIMITED,
    asked: Once | None = None,
    **values: Any,
) -> RunRecord:
    """Enqueue a run, in its session, on behalf of its owner, and answer it."""
    record = queued(session_id, **values)
    job = job_of(record, principal_key=principal_key or record.owner)
    await db.store(Access(record.owner)).enqueue_run(
        session(session_id, owner=record.owner), record, job, limits=limits, once=asked
    )
    return record


async def claimed(
    db: Db,
    executor_id: str = "e",
    *,
    agent_ids: Collection[str] = AGENTS,
    unserved_before_us: int = 0,
    limits: QueueLimits = UNLIMITED,
    now_us: int | None = None,
) -> ClaimedRun | None:
    """What an executor gets out of the queue."""
    return await db.work().claim(
        executor_id,
        agent_ids=agent_ids,
        unserved_before_us=unserved_before_us,
        limits=limits,
        now_us=now_us or tick(),
    )


async def claimed_id(db: Db, executor_id: str = "e", **values: Any) -> str | None:
    """The id of the run that an executor gets out of the queue."""
    found = await claimed(db, executor_id, **values)
    return None if found is None else found.run.run_id


async def ended(db: Db, record: RunRecord, status: RunStatus = RunStatus.COMPLETED) -> None:
    """Let a run end, as whoever works on it does."""
    done = replace(record, status=status, updated_at_us=tick())
    store = db.store(Access(record.owner))
    assert await store.save_run(done, session_state=None) is Saving.SAVED


async def work_number(db: Db) -> int:
    """The number that the topic has reached."""
    return await db.watch(WORK_TOPIC, after=-1, timeout_seconds=0)
