"""Runner: all runs of one server in this process, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from licet.agent.agent import Agent
from licet.agent.execution import Execution, Stop
from licet.agent.observer import UNOBSERVED, RunObserver
from licet.agent.run_request import RunRequest
from licet.db.base import Db, Store
from licet.db.records import RunRecord, RunStatus
from licet.db.steps_database import Lasting
from licet.db.work_records import JobRecord
from licet.errors import StorageError
from licet.runs.cancel_watch import CancelWatch
from licet.runs.cron import Due
from licet.runs.dbos_engine import DbosEngine
from licet.runs.desk import Desk
from licet.runs.durable import DurableRuns
from licet.runs.durable_events import pauses_the_run
from licet.runs.durable_source import DurableSource
from licet.runs.event_source import EventSource
from licet.runs.executor import Heartbeat, new_executor_id
from licet.runs.firing import ScheduledRuns
from licet.runs.foreground import ForegroundRuns
from licet.runs.legs import current_leg
from licet.runs.log import EventLog
from licet.runs.logs import RunLogs
from licet.runs.pauses import leaving, left_by
from licet.runs.run_authority import RunAuthority
from licet.runs.run_queue import RunQueue
from licet.runs.schedules import Schedules
from licet.runs.snapshot import principal_of
from licet.runs.stored_run import StoredRun

logger = logging.getLogger(__name__)

ON_REQUEST = "cancelled on request"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """How runs are worked on.

    Attributes:
        queue: how many durable ones at once.
        heartbeat: how soon another process takes over from one that died.
        grace_seconds: how long runs may end by themselves when the server stops.
        events_kept_seconds: how long events can be had again after a run's end.
    """

    queue: RunQueue
    heartbeat: Heartbeat
    grace_seconds: float
    events_kept_seconds: float


class Runner:
    """The runs of one server in this process. Made anew for each start.

    Args:
        agents: by id.
        dbs: by id, the default one first.
        authority: whether what a principal started may go on.
        scheduled: the runs that schedules begin.
        settings: how runs are worked on.
        observer: looks on while they work.
    """

    def __init__(
        self,
        *,
        agents: Mapping[str, Agent],
        dbs: Mapping[str, Db],
        authority: RunAuthority,
        scheduled: ScheduledRuns,
        settings: RunnerSettings,
        observer: RunObserver = UNOBSERVED,
    ) -> None:
        self.executor_id = new_executor_id()
        self.logs = RunLogs(keep_seconds=settings.events_kept_seconds)
        self.foreground = ForegroundRuns(authority.lost)
        self._agents = agents
        self._dbs = dbs
        self._authority = authority
        self._scheduled = scheduled
        self._settings = settings
        self._observer = observer
        self._started = False
        self.stopping = False

    @cached_property
    def durable(self) -> DurableRuns | None:
        """The durable ones; None: no database of this server outlives the process."""
        lasting = [db for db in self._dbs.values() if isinstance(db, Lasting)]
        if not lasting:
            return None
        engine = DbosEngine(lasting[0], executor_id=self.executor_id)
        engine.cron.attend(self._fire)
        durable = DurableRuns(
            engine,
            executor_id=self.executor_id,
            agents=self._agents,
            dbs={db_id: db for db_id, db in self._dbs.items() if isinstance(db, Lasting)},
            authority=self._authority,
            logs=self.logs,
            heard=lambda db_id: self.desks[db_id].executor.heard(),
            slots=self._settings.queue.per_process,
            observer=self._observer,
        )
        durable.on_slot_free = self._wake_all
        return durable

    @cached_property
    def schedules(self) -> Schedules | None:
        """Runs that begin at times; None: the default database does not outlive the process."""
        default = next(iter(self._dbs.values()))
        if self.durable is None or not isinstance(default, Lasting):
            return None
        return Schedules(default, runs=self._scheduled, durable=self.durable)

    @cached_property
    def desks(self) -> Mapping[str, Desk]:
        """What this process does in each database."""
        return {
            db_id: Desk(
                db,
                executor_id=self.executor_id,
                heartbeat=self._settings.heartbeat,
                durable=self.durable,
                limits=self._settings.queue.limits,
            )
            for db_id, db in self._dbs.items()
        }

    @cached_property
    def _cancels(self) -> CancelWatch:
        return CancelWatch(
            self._dbs.values(),
            executor_id=self.executor_id,
            stop=lambda run_id: self.cancel(run_id, ON_REQUEST),
        )

    @property
    def started(self) -> bool:
        """Whether runs are taken on: an app that is served without its lifespan takes on none."""
        return self._started

    async def start(self) -> None:
        """Register this process, and begin to take runs on.

        Raises:
            ConfigurationError: durable runs cannot be had here.
            StorageError: a database cannot be reached.
        """
        self._started = True
        for desk in self.desks.values():
            await desk.start()
        self._cancels.start()
        if self.durable is not None and any(agent.durable for agent in self._agents.values()):
            # Else with the first run that is durable: most servers never have one.
            await self.durable.ready()
        if self.schedules is not None:
            self.schedules.start()

    async def close(self) -> None:
        """Take nothing on any more; let runs end; leave what others can go on with."""
        self.stopping = True
        if self._started and self.schedules is not None:
            await self.schedules.close()
        for desk in self.desks.values():
            await desk.stop_taking()
        grace_seconds = self._settings.grace_seconds
        ending = [self.foreground.shut_down(grace_seconds=grace_seconds)]
        if self.durable is not None:
            ending.append(self.durable.close(grace_seconds=grace_seconds))
        await asyncio.gather(*ending)
        if self._started:
            await self._cancels.close()
            for desk in self.desks.values():
                await desk.close()

    def execution(
        self,
        agent: Agent,
        request: RunRequest,
        *,
        next_event_index: Callable[[], int] = lambda: 0,
    ) -> Execution:
        """How a foreground run is worked on here, from its beginning on."""
        return Execution(
            executor_id=self.executor_id,
            lost=self._authority.of_request(agent.id, request),
            leave=leaving(self._authority),
            next_event_index=next_event_index,
            observer=self._observer,
        )

    def resumed_execution(
        self,
        run: RunRecord,
        request: RunRequest,
        job: JobRecord,
        *,
        next_event_index: Callable[[], int] = lambda: 0,
    ) -> Execution:
        """How a run that paused is gone on with here, under the authority that began it."""
        snapshot, _ = principal_of(job)
        authority = self._authority
        return Execution(
            executor_id=self.executor_id,
            began=run.created_at_us / 1_000_000,
            lost=authority.of_snapshot(run.component_id, request, snapshot),
            leave=lambda _: left_by(job, snapshot, authority),
            next_event_index=next_event_index,
            observer=self._observer,
        )

    def cancel(self, run_id: str, reason: str) -> bool:
        """Stop a run that works here. Again, it does nothing more. False: it does not."""
        if self.foreground.cancel(run_id, reason):
            return True
        return self.durable is not None and self.durable.cancel(run_id, Stop(reason))

    def stop_revoked(self) -> int:
        """Stop the runs whose principal's authority is gone. Answers how many."""
        stopped = self.foreground.stop_revoked()
        return stopped + (0 if self.durable is None else self.durable.stop_revoked())

    @property
    def at_work(self) -> int:
        """How many runs work in this process."""
        return self.foreground.count + (0 if self.durable is None else self.durable.count)

    async def waiting(self) -> int:
        """How many durable runs wait, over all databases, for whichever process takes them.

        Raises:
            StorageError: a database cannot be read at present.
        """
        return sum([await db.work().waiting() for db in self._dbs.values()])

    async def events_of(self, run: RunRecord, store: Store) -> EventSource:
        """The events of a run that was found: as they are told, where they are kept; else replayed.

        Raises:
            StorageError: they cannot be read at present.
        """

        async def find() -> RunRecord | None:
            return await store.get_run(run.session_key, run.run_id)

        if run.durable and self.durable is not None:
            engine = await self.durable.ready()
            source = await DurableSource.open(run, find, engine=engine, logs=self.logs)
            if source is not None:
                return source
        log = self.logs.get(run.run_id)
        if log is None or _is_behind(log, run):
            return StoredRun(run, find)
        return log

    async def tell_work(self, db_id: str) -> None:
        """A run was enqueued: take it on here, or have others told that it waits."""
        self.desks[db_id].wake()
        if self.durable is None or not self.durable.has_room:
            try:
                await self._dbs[db_id].work().raise_work()
            except StorageError as error:
                # It is stored; whoever looks next finds it.
                logger.warning("nobody could be told that a run waits: %s", error)

    async def _fire(self, due: Due) -> None:
        if self.schedules is None:
            # Of another program, which has this database for its default one.
            raise asyncio.CancelledError
        await self.schedules.fire(due)

    def _wake_all(self) -> None:
        for desk in self.desks.values():
            desk.wake()


def _is_behind(log: EventLog, run: RunRecord) -> bool:
    """Whether a log says that the run has paused, and it has gone on elsewhere, or has ended.

    It may have paused there again.
    """
    if not (log.ended and pauses_the_run(log.last)):
        return False
    return run.status is not RunStatus.PAUSED or log.leg != current_leg(run)
