"""Retrying: a durable run that failed or was cancelled is asked for once more, as another run."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec

from licet.agent.execution import Execution
from licet.agent.run import AgentRun
from licet.agent.run_request import new_id
from licet.agent.settings import AgentSettings
from licet.db.base import Db
from licet.db.records import RunRecord, RunStatus
from licet.db.run_states import ENDED
from licet.db.work_records import QueueLimits
from licet.errors import ConflictError
from licet.runs.orphans import EVERYTHING
from licet.runs.snapshot import StoredRequest

RETRY_OF: Final = "retry_of"
"""In the metadata of a run: the one that it is in place of."""

_RETRIED = frozenset((RunStatus.ERROR, RunStatus.CANCELLED))


class NotRetriableError(ConflictError):
    """The run cannot be asked for once more; the message says why."""

    code = "not_retriable"


async def retry_run(
    run: RunRecord, *, db: Db, agent: AgentSettings, limits: QueueLimits, now: float
) -> str:
    """Enqueue anew what a run was asked; answer the new run's id.

    The same request, in the same session, under the same snapshot of authority: how long that
    counts is counted from when it was taken. ``now`` is epoch seconds.

    Raises:
        NotRetriableError: it has not failed, or what it needs is not kept.
        QueueFullError: too many runs wait.
        StorageError: it could not be stored.
    """
    if run.status not in ENDED:
        raise NotRetriableError(f"run {run.run_id!r} has not ended: it is {run.status}")
    if run.status not in _RETRIED:
        raise NotRetriableError(f"run {run.run_id!r} has not failed: it is {run.status}")
    job = await db.work().job(run.run_id) if run.durable else None
    if job is None:
        raise NotRetriableError(
            f"run {run.run_id!r} is not durable: of a foreground run nothing is kept by which it "
            "could be begun anew; whoever asked has to ask again"
        )
    stored = StoredRequest.from_json(job.request)
    again = msgspec.structs.replace(
        stored, run_id=new_id(), metadata={**(stored.metadata or {}), RETRY_OF: run.run_id}
    )
    execution = Execution(durable=True, began=now)
    new = AgentRun(
        # What is stored here is what was asked; whoever works on it puts the authority to it.
        agent,
        again.request(None),
        store=db.store(EVERYTHING),
        execution=execution,
    )
    await new.enqueue(
        replace(
            job,
            run_id=again.run_id,
            request=again.to_json(),
            created_at_us=int(now * 1_000_000),
        ),
        limits=limits,
    )
    await db.work().raise_work()
    return again.run_id
