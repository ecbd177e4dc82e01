"""Schedules: runs that begin at times, as far as this process fires them."""

from __future__ import annotations

import asyncio
import time

from licet.agent.run_request import new_id
from licet.db.base import Db
from licet.db.schedule_records import ScheduleRecord, ScheduleRunRecord
from licet.runs.cron import Due
from licet.runs.durable import DurableRuns
from licet.runs.firing import Firings, ScheduledRuns
from licet.runs.orphans import EVERYTHING
from licet.runs.schedule_clock import ScheduleClock


class Schedules:
    """The schedules of one database in this process.

    Args:
        db: where they are; it lasts.
        runs: the runs that they begin.
        durable: has the engine whose clock they are due by.
    """

    def __init__(self, db: Db, *, runs: ScheduledRuns, durable: DurableRuns) -> None:
        store = db.schedules(EVERYTHING)
        self._firings = Firings(store, runs)
        self._durable = durable
        self._clock = ScheduleClock(db, store, runs=durable)
        self._asked: dict[str, asyncio.Future[ScheduleRunRecord | None]] = {}

    def start(self) -> None:
        """Begin to fire what is due."""
        self._clock.start()

    async def close(self) -> None:
        """Follow no changes any more; what fires ends with the engine, or is left to others."""
        await self._clock.close()

    async def ready(self) -> None:
        """See to it that there is an engine by whose clock they are due.

        Raises:
            ConfigurationError: another AgentOS of this process has the engine.
            StorageError: its database cannot be reached.
        """
        await self._durable.ready()

    async def fire(self, due: Due) -> None:
        """Fire a schedule, to the end of its run. See ``Fire``."""
        asked = self._asked.get(due.key)
        try:
            last = await self._firings.fire(due)
        except BaseException:
            if asked is not None:
                asked.cancel()
            raise
        if asked is not None and not asked.done():
            asked.set_result(last)

    async def trigger(self, schedule: ScheduleRecord) -> ScheduleRunRecord | None:
        """Fire a schedule now, whether it is enabled or not, and wait for the end.

        Whoever asked may leave: the firing goes on. None: it was deleted meanwhile.

        Raises:
            ConfigurationError: another AgentOS of this process has the engine.
            StorageError: a database cannot be reached.
        """
        due = Due(schedule_id=schedule.id, planned_us=time.time_ns() // 1000, asked_id=new_id())
        cron = (await self._durable.ready()).cron
        asked: asyncio.Future[ScheduleRunRecord | None]
        asked = asyncio.get_running_loop().create_future()
        self._asked[due.key] = asked
        try:
            await cron.fire_now(due)
            return await asked
        finally:
            del self._asked[due.key]
