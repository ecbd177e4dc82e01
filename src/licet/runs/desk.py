"""Desk: all that this process does for runs in one database, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence

from licet.db.base import Db
from licet.db.records import RunRecord
from licet.db.steps_database import Lasting
from licet.db.work_records import WORK_TOPIC, QueueLimits
from licet.errors import StorageError
from licet.runs.dispatcher import Dispatcher
from licet.runs.durable import DurableRuns
from licet.runs.engine import WorkflowState
from licet.runs.executor import Executor, Heartbeat
from licet.runs.legs import current_work
from licet.runs.orphans import DIED, end_orphan
from licet.runs.watchman import Watchman, repeatedly

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_LISTEN_SECONDS = 5.0
_TRY_AGAIN_SECONDS = 1.0
_FORGET_EVERY_SECONDS = 60.0
_SETTLE_OWN_EVERY_SECONDS = 10.0
_ONCE_KEPT_US = 24 * 3600 * 1_000_000
_STEPS_KEPT_SECONDS = 3600.0


class Desk:
    """This process in one database: it says that it lives, watches over others, takes runs on.

    Args:
        db: the database.
        executor_id: this process.
        heartbeat: when a process counts as dead.
        durable: works on durable runs; None: this database does not last.
        limits: how many of those may work at once.
    """

    def __init__(
        self,
        db: Db,
        *,
        executor_id: str,
        heartbeat: Heartbeat,
        durable: DurableRuns | None,
        limits: QueueLimits,
    ) -> None:
        self._db = db
        self._durable = durable if isinstance(db, Lasting) else None
        self.executor = Executor(
            db,
            id=executor_id,
            heartbeat=heartbeat,
            leave=self._leave,
            settle=self._settle_own,
        )
        self._watchman = Watchman(db, id=executor_id, heartbeat=heartbeat, settle=self.settle)
        self._dispatcher = (
            None
            if self._durable is None
            else Dispatcher(db, executor=self.executor, runs=self._durable, limits=limits)
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._forgot_at = 0.0
        self._settled_own_at = time.monotonic()

    def wake(self) -> None:
        """Look at once whether there is something to take on."""
        if self._dispatcher is not None:
            self._dispatcher.wake()

    async def start(self) -> None:
        """Register this process, and begin.

        Raises:
            StorageError: the database cannot be reached.
        """
        await self.executor.start()
        work = [repeatedly(self._look, every_seconds=_LOOK_SECONDS)]
        if self._dispatcher is not None:
            work += [self._dispatcher.run(), self._listen()]
        self._tasks = [asyncio.create_task(each) for each in work]

    async def stop_taking(self) -> None:
        """Take nothing on any more, and watch over nobody."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def close(self) -> None:
        """Leave: others see to what is left."""
        await self.stop_taking()
        await self.executor.close()

    async def settle(self, executor_id: str) -> bool:
        """See to what a process that has ended worked on. Answers whether nothing is left of it.

        Raises:
            StorageError: not all could be seen to.
        """
        work = self._db.work()
        orphans = await work.foreground_runs_of(executor_id)
        durable = await work.durable_runs_of(executor_id)
        living = {each.id for each in await work.executors() if each.ended is None}
        if executor_id in living:
            # It has come back since it was looked at: perhaps these are what it has begun since.
            return False
        for run in orphans:
            if await end_orphan(self._db, run, why=DIED, error_type="process_died"):
                logger.warning(
                    "run %s ended as ERROR: the process %s died", run.run_id, executor_id
                )
        await self._recover(durable, executor_id, living=living)
        if self._durable is not None:
            await self._durable.tell_ends(self._db.id, living=living)
        left = await work.foreground_runs_of(executor_id) or await work.durable_runs_of(executor_id)
        return not left

    async def _recover(
        self, runs: Sequence[RunRecord], executor_id: str, *, living: Collection[str]
    ) -> None:
        """Have the durable runs of a process gone on with, except those that are at work here."""
        durable, work = self._durable, self._db.work()
        if durable is None:
            return
        if left := [run for run in runs if not durable.works_on(run.run_id)]:
            engine = await durable.ready()
            for run in left:
                state = await engine.recover(current_work(run), living=living)
                if state is WorkflowState.UNKNOWN:
                    # It was taken on, and nothing was begun.
                    await work.put_back(run.run_id, executor_id=executor_id)
                    self.wake()
                elif state is WorkflowState.ENDED:
                    await end_orphan(
                        self._db,
                        run,
                        why="The run was given up: it took down every process that worked on it",
                        error_type="given_up",
                    )

    async def _leave(self) -> None:
        if self._durable is not None:
            await self._durable.leave(self._db.id)

    async def _settle_own(self) -> None:
        """See to what this process has and is not at work on: its claim, or its end, went wrong."""
        work, own = self._db.work(), self.executor.id
        runs = await work.durable_runs_of(own)
        others = {each.id for each in await work.executors() if each.ended is None} - {own}
        await self._recover(runs, own, living=others)
        if self._durable is not None:
            await self._durable.tell_ends(self._db.id, living={*others, own})

    async def _look(self) -> None:
        await self._watchman.look()
        now = time.monotonic()
        if now - self._settled_own_at >= _SETTLE_OWN_EVERY_SECONDS:
            self._settled_own_at = now
            await self._settle_own()
        if now - self._forgot_at >= _FORGET_EVERY_SECONDS:
            self._forgot_at = now
            await self._db.work().forget_before(time.time_ns() // 1000 - _ONCE_KEPT_US)
            if self._durable is not None:
                await self._durable.forget_before(time.time() - _STEPS_KEPT_SECONDS)

    async def _listen(self) -> None:
        number = 0
        while True:
            try:
                number = await self._db.watch(
                    WORK_TOPIC, after=number, timeout_seconds=_LISTEN_SECONDS
                )
            except StorageError as error:
                logger.warning("nobody can say whether there is work: %s", error)
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
            else:
                self.wake()
