"""Attempt: one process's work on one durable run, from where it stands to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from licet.agent.agent import Agent
from licet.agent.execution import Execution, Stop
from licet.agent.observer import RunObserver
from licet.agent.output import RunOutput
from licet.agent.run import AgentRun
from licet.agent.steps import KeptError
from licet.db.base import Db
from licet.db.records import RunRecord
from licet.db.run_states import ENDED
from licet.db.work_records import JobRecord
from licet.runs.dbos_process import outside_of_a_run
from licet.runs.durable_events import DurableEvents
from licet.runs.durable_steps import DurableSteps
from licet.runs.engine import DurableEngine
from licet.runs.frames import frame
from licet.runs.gate import WorkGate
from licet.runs.legs import current_work
from licet.runs.log import EventLog
from licet.runs.orphans import EVERYTHING
from licet.runs.patience import patiently
from licet.runs.pauses import left_by
from licet.runs.replay import ending
from licet.runs.run_authority import RunAuthority
from licet.runs.snapshot import StoredRequest, principal_of

_END_STEP = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What attempts work with.

    Attributes:
        engine: keeps steps and events.
        executor_id: this process.
        authority: what a snapshot is worth.
        heard: waits until this process is heard of in a database.
        observer: looks on while they work.
    """

    engine: DurableEngine
    executor_id: str
    authority: RunAuthority
    heard: Callable[[str], Awaitable[None]]
    observer: RunObserver


class Attempt:
    """One process's work on one run.

    Args:
        shop: what it works with.
        agent: whose run it is.
        stored: the run as it was found.
        job: what it takes along.
        db: where it is stored.
        log: where readers of this process find its events.
        decided: the run as it is gone on with, where it had paused.
    """

    def __init__(
        self,
        shop: Workshop,
        agent: Agent,
        stored: RunRecord,
        job: JobRecord,
        *,
        db: Db,
        log: EventLog,
        decided: RunOutput | None,
    ) -> None:
        snapshot, principal = principal_of(job)
        request = StoredRequest.from_json(job.request).request(principal)
        self._shop = shop
        self._db = db
        self._work = current_work(stored)
        self._events = DurableEvents(shop.engine, log, frame=frame)
        self.run = AgentRun(
            agent,
            request,
            store=db.store(EVERYTHING),
            emit=self._events.emit,
            execution=Execution(
                executor_id=shop.executor_id,
                durable=True,
                began=stored.created_at_us / 1_000_000,
                lost=shop.authority.of_snapshot(agent.id, request, snapshot),
                leave=lambda _: left_by(job, snapshot, shop.authority),
                next_event_index=lambda: self._events.next_index,
                observer=shop.observer,
            ),
            resumed=decided,
        )
        self.gate = WorkGate(lambda: shop.heard(db.id))
        self._steps = DurableSteps(
            shop.engine, self._events, gate=self.gate, state=lambda: self.run.state
        )
        self._begun = False

    @property
    def db_id(self) -> str:
        """The database of the run."""
        return self._db.id

    @property
    def begun(self) -> bool:
        """Whether it is stored as being worked on: from then on it may be cancelled."""
        return self._begun

    async def recall(self) -> None:
        """Know what an earlier attempt has told."""
        await outside_of_a_run(self._events.recall(self._work))

    async def work(self) -> None:
        """Work to the run's end, and tell it.

        Raises:
            asyncio.CancelledError: it was left, or this process may not work on it any more.
        """
        if not await patiently(self.run.work_on):
            return
        asked = await patiently(lambda: self._db.work().cancels_asked(self._shop.executor_id))
        if self.run.request.run_id in asked:
            self.run.stop(Stop("cancelled"))
        self._begun = True
        try:
            await self.run.finish(self._steps)
        except asyncio.CancelledError:
            if self.run.output.status not in ENDED:
                raise
            # It is stored as cancelled, and that is how it ended.
            task = asyncio.current_task()
            while task is not None and task.cancelling():
                task.uncancel()
        await _close(self._shop.engine, self._events)


async def tell_end(engine: DurableEngine, run: RunRecord, work: str) -> None:
    """Tell how a leg of a run ended: whoever stored it died, perhaps, before it was told.

    Of a leg after which the run has gone on, nothing is told any more.
    """
    output = msgspec.structs.replace(RunOutput.from_json(run.body), status=run.status)
    events = DurableEvents(engine, EventLog(first_index=output.next_event_index), frame=frame)
    await outside_of_a_run(events.recall(work))
    if work == current_work(run):
        for event in ending(output):
            events.emit(event)
    await _close(engine, events)


async def _close(engine: DurableEngine, events: DurableEvents) -> None:
    begun = False

    async def end() -> str:
        nonlocal begun
        begun = True
        await events.close()
        return _END_STEP

    while not begun:
        # A step of an attempt that came further may have its place.
        with suppress(KeptError):
            if await engine.step()(end) == _END_STEP:
                return
