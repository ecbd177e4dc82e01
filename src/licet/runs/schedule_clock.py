"""ScheduleClock: keeps the engine's clock to what the rows of schedules say.

The rows are the truth. An entry that is missing or too much, because a process died between two
writes or two of them wrote at once, is put right at the next look; until then a firing that the
rows do not know of does nothing.
"""

from __future__ import annotations

import asyncio
import logging

from licet.authn.outage import Outage
from licet.db.base import Db
from licet.db.schedule_base import ScheduleStore
from licet.db.schedule_records import SCHEDULE_TOPIC
from licet.runs.cron import CronEntry
from licet.runs.durable import DurableRuns

logger = logging.getLogger(__name__)

# A change is told at once; this is the net where one was missed, or overwritten.
_LOOK_SECONDS = 30.0
# What changes often is looked at as seldom as this.
_PAUSE_SECONDS = 0.2
_RETRY_SECONDS = 1.0


class ScheduleClock:
    """Follows the schedules of a database, while this process serves.

    Args:
        db: where they are.
        schedules: of everybody.
        runs: has the engine; it is launched when the first schedule has times.
        look_seconds: how often it looks where nothing is told.
    """

    def __init__(
        self,
        db: Db,
        schedules: ScheduleStore,
        *,
        runs: DurableRuns,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._db = db
        self._schedules = schedules
        self._runs = runs
        self._look_seconds = look_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        """Stop following. The engine fires until it is closed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def set(self) -> None:
        """Let the engine have an entry for each schedule that has times, and no other.

        Raises:
            ConfigurationError: another AgentOS of this process has the engine.
            StorageError: a database cannot be reached.
        """
        timed = {
            each.id: CronEntry(
                schedule_id=each.id, cron_expr=each.cron_expr, timezone=each.timezone
            )
            for each in await self._schedules.timed()
        }
        if not timed and not self._runs.launched:
            # Most servers have no schedules, and some no durable runs.
            return
        cron = (await self._runs.ready()).cron
        known = {entry.schedule_id: entry for entry in await cron.entries()}
        for schedule_id in known.keys() - timed.keys():
            await cron.remove(schedule_id)
        for schedule_id, entry in timed.items():
            if known.get(schedule_id) != entry:
                await cron.put(entry)

    async def _follow(self) -> None:
        outage = Outage(
            logger,
            failing=f"schedules of {self._db.id!r} cannot be followed",
            working=f"schedules of {self._db.id!r} can be followed again",
        )
        number = -1
        while True:
            try:
                number = await self._db.watch(
                    SCHEDULE_TOPIC, after=number, timeout_seconds=self._look_seconds
                )
                await self.set()
            except Exception as error:  # noqa: BLE001 - who stopped would let none be fired
                outage.failed(error)
                number = -1
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                outage.worked()
                await asyncio.sleep(_PAUSE_SECONDS)
