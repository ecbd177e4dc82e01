"""DurableRuns: the runs that outlive the process, as far as this process works on them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from licet.agent.agent import Agent
from licet.agent.decisions import approved
from licet.agent.execution import Execution, Stop
from licet.agent.observer import UNOBSERVED, RunObserver
from licet.agent.output import RunOutput
from licet.agent.run import AgentRun
from licet.agent.run_request import RunRequest
from licet.db.base import Db, Store
from licet.db.records import RunRecord
from licet.db.run_states import AT_REST
from licet.db.work_records import ClaimedRun, JobRecord, Once, QueueLimits
from licet.errors import LicetError
from licet.runs.attempt import Attempt, Workshop, tell_end
from licet.runs.engine import DurableEngine
from licet.runs.legs import current_leg, current_work, run_and_leg
from licet.runs.logs import RunLogs
from licet.runs.orphans import EVERYTHING, end_orphan
from licet.runs.patience import patiently
from licet.runs.run_authority import RunAuthority
from licet.runs.snapshot import Snapshot, job_of

logger = logging.getLogger(__name__)

_CANCEL_SECONDS = 5.0


class NoLastingDatabaseError(LicetError):
    """A durable run was asked for where nothing outlives the process."""

    code = "no_lasting_database"


class DurableRunsTakenError(LicetError):
    """Another AgentOS of this process has the engine, of which there is one."""

    code = "durable_runs_taken"


@dataclass(frozen=True, slots=True, eq=False)
class _Active:
    attempt: Attempt
    task: asyncio.Task[None]


class DurableRuns:
    """Works on durable runs.

    Args:
        engine: keeps their steps and their events.
        executor_id: this process.
        agents: by id.
        dbs: by id; those that last.
        authority: what a snapshot is worth.
        logs: where readers of this process find what is worked on here.
        heard: waits until this process is heard of in a database.
        slots: how many may work here at once.
        observer: looks on while they work.
    """

    def __init__(
        self,
        engine: DurableEngine,
        *,
        executor_id: str,
        agents: Mapping[str, Agent],
        dbs: Mapping[str, Db],
        authority: RunAuthority,
        logs: RunLogs,
        heard: Callable[[str], Awaitable[None]],
        slots: int,
        observer: RunObserver = UNOBSERVED,
    ) -> None:
        self._engine = engine
        self._executor_id = executor_id
        self._agents = agents
        self._dbs = dbs
        self._authority = authority
        self._logs = logs
        self._shop = Workshop(
            engine=engine,
            executor_id=executor_id,
            authority=authority,
            heard=heard,
            observer=observer,
        )
        self._slots = asyncio.Semaphore(slots)
        self._claimed: set[str] = set()
        self._active: dict[str, _Active] = {}
        self._working: dict[asyncio.Task[Any], str] = {}
        self._max = slots
        self._launching = asyncio.Lock()
        self._launched = False
        self._closing = False
        self.on_slot_free: Callable[[], None] = lambda: None

    # --- what is asked of it

    async def enqueue(
        self,
        agent: Agent,
        request: RunRequest,
        store: Store,
        *,
        limits: QueueLimits,
        once: Once | None = None,
        snapshot: Snapshot | None = None,
    ) -> RunOutput:
        """Store a run to be worked on, here or elsewhere.

        ``snapshot`` is that of the request's principal, if it was taken earlier.

        Raises:
            QueueFullError: too many wait; nothing was stored.
            RepeatedRequestError: ``once`` was used before; nothing was stored.
            StorageError: it could not be stored.
        """
        now = time.time()
        trace_context = self._shop.observer.trace_context()
        job = job_of(request, snapshot=snapshot, trace_context=trace_context, now=now)
        run = AgentRun(agent, request, store=store, execution=Execution(durable=True, began=now))
        return await run.enqueue(job, limits=limits, once=once)

    async def ready(self) -> DurableEngine:
        """The engine, launched when it is first needed.

        Raises:
            ConfigurationError: another AgentOS of this process has it.
            StorageError: its database cannot be reached.
        """
        async with self._launching:
            if not self._launched:
                await self._engine.launch(self._work)
                self._launched = True
        return self._engine

    @property
    def launched(self) -> bool:
        """Whether the engine is at work."""
        return self._launched

    @property
    def agent_ids(self) -> Collection[str]:
        """The agents whose runs can be worked on here."""
        return self._agents.keys()

    @property
    def count(self) -> int:
        """How many runs are at work here."""
        return len(self._active)

    @property
    def has_room(self) -> bool:
        """Whether one more run can be worked on at once."""
        return not self._closing and len(self._active) + len(self._claimed) < self._max

    def works_on(self, run_id: str) -> bool:
        """Whether a run is at work here, or about to be."""
        works = (*self._claimed, *self._working.values())
        return any(run_and_leg(work)[0] == run_id for work in works)

    async def start(self, claimed: ClaimedRun, db_id: str) -> None:
        """Work on a run that this process has claimed."""
        work = current_work(claimed.run)
        self._claimed.add(work)
        begun = False
        try:
            begun = await (await self.ready()).start(work, db_id)
        finally:
            if not begun:
                self._claimed.discard(work)

    def cancel(self, run_id: str, stop: Stop) -> bool:
        """Stop a run that works here. False: none of that id does, or it is ending."""
        active = self._active.get(run_id)
        if active is None or not active.attempt.run.stop(stop):
            return False
        # While it is stored as being worked on it is not disturbed: it heeds this when it begins.
        if active.attempt.begun:
            active.task.cancel()
        return True

    def stop_revoked(self) -> int:
        """Stop the runs whose principal's authority is gone. Answers how many."""
        stopped = 0
        for run_id, active in list(self._active.items()):
            reason = self._authority.lost(active.attempt.run.request.principal)
            if reason is not None and self.cancel(run_id, Stop(reason, "revoked")):
                logger.warning("run %s is stopped: %s", run_id, reason)
                stopped += 1
        return stopped

    async def tell_ends(self, db_id: str, *, living: Collection[str]) -> None:
        """Have told how runs ended whose process died between storing that and telling it.

        Nobody works on their rows any more, only the engine knows of them: if it is at work, and if
        ``living`` are the processes of its own database.
        """
        if not self._launched or db_id != self._engine.db_id:
            return
        for work in await self._engine.abandoned(living=living):
            if not self.works_on(run_and_leg(work)[0]):
                await self._engine.recover(work, living=living)

    async def forget_before(self, epoch_seconds: float) -> None:
        """Delete steps and events of runs that ended before, if the engine is at work."""
        while self._launched and (ended := await self._engine.ended_before(epoch_seconds)):
            await self._engine.forget(ended)

    async def leave(self, db_id: str | None = None) -> None:
        """Stop working on the runs of a database, or on all, at once; others go on with them."""
        left = [a for a in self._active.values() if db_id in (None, a.attempt.db_id)]
        for active in left:
            active.attempt.run.leave()
            active.task.cancel()
        if left:
            await asyncio.wait([active.task for active in left])

    async def close(self, *, grace_seconds: float) -> None:
        """Take on nothing more, let steps end, and leave the rest to others."""
        self._closing = True
        for active in self._active.values():
            active.attempt.gate.close()
        waiting = [asyncio.ensure_future(_first_of(a)) for a in self._active.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=grace_seconds)
        for task in waiting:
            task.cancel()
        for active in self._active.values():
            active.attempt.run.leave()
        # Those that wait for a slot or a database, too: they would begin when it comes.
        for work in self._working:
            work.cancel()
        if self._working:
            _, stuck = await asyncio.wait(self._working, timeout=_CANCEL_SECONDS)
            if stuck:
                logger.error("%d durable runs do not end; left behind", len(stuck))
        if self._launched:
            await self._engine.close()

    # --- the work

    async def _work(self, work: str, db_id: str) -> None:
        fresh = work in self._claimed
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the engine has it done in a task
        self._working[task] = work
        try:
            async with self._slots:
                await self._work_in_a_slot(work, db_id, fresh=fresh)
        finally:
            del self._working[task]
            self._claimed.discard(work)
            self.on_slot_free()

    async def _work_in_a_slot(self, work: str, db_id: str, *, fresh: bool) -> None:
        db = self._dbs.get(db_id)
        if db is None or self._closing:
            # Another process may know that database; this one is of no use to the run.
            raise asyncio.CancelledError
        run_id, _ = run_and_leg(work)
        try:
            await self._work_in(db, work, fresh=fresh)
        except Exception as error:
            logger.exception("run %s could not be worked on", run_id)
            await self._give_up(db, run_id, f"Internal error ({type(error).__name__})")

    async def _work_in(self, db: Db, work: str, *, fresh: bool) -> None:
        run_id, _ = run_and_leg(work)
        run, job = await patiently(lambda: _found(db, run_id))
        if run is None or job is None:
            return
        if run.status in AT_REST or work != current_work(run):
            await tell_end(self._engine, run, work)
            return
        store = db.work()
        if not fresh and not await patiently(
            lambda: store.adopt(run_id, old_executor_id=None, executor_id=self._executor_id)
        ):
            return
        agent = self._agents.get(run.component_id)
        if agent is None:
            await self._give_up(db, run_id, f"There is no agent {run.component_id!r} any more")
            return
        await self._work_on(agent, run, job, db, fresh=fresh)

    async def _give_up(self, db: Db, run_id: str, why: str) -> None:
        run = await patiently(lambda: db.store(EVERYTHING).find_run(run_id))
        if run is not None:
            mine = replace(run, executor_id=self._executor_id)
            await patiently(lambda: end_orphan(db, mine, why=why, error_type="internal_error"))

    async def _work_on(
        self, agent: Agent, stored: RunRecord, job: JobRecord, db: Db, *, fresh: bool
    ) -> None:
        run_id, leg, decided = stored.run_id, current_leg(stored), None
        if leg > 0:
            approvals = await patiently(lambda: db.approvals().of_run(run_id))
            decided = approved(RunOutput.from_json(stored.body), approvals)
        first_index = 0 if decided is None else decided.next_event_index
        log = self._logs.open(run_id, first_index=first_index, leg=leg)
        attempt = Attempt(self._shop, agent, stored, job, db=db, log=log, decided=decided)
        if not fresh:
            await attempt.recall()
        task = asyncio.create_task(attempt.work())
        self._active[run_id] = _Active(attempt, task)
        self._claimed.discard(current_work(stored))
        if self._closing:
            attempt.gate.close()
        try:
            await task
        finally:
            # Another one of it may be at work here by now, if this one was given up.
            active = self._active.get(run_id)
            if active is not None and active.task is task:
                del self._active[run_id]
            # Whoever reads here reads on where the run goes on.
            log.close()
            self._logs.keep(run_id, log)


async def _found(db: Db, run_id: str) -> tuple[RunRecord | None, JobRecord | None]:
    return await db.store(EVERYTHING).find_run(run_id), await db.work().job(run_id)


async def _first_of(active: _Active) -> None:
    """Wait until a run has reached the end of a step, or its own."""
    reached = asyncio.ensure_future(active.attempt.gate.reached())
    try:
        await asyncio.wait({reached, active.task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        reached.cancel()
