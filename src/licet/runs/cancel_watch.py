"""CancelWatch: hears which runs of this process others were asked to cancel, and stops them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from licet.authn.outage import Outage
from licet.db.base import Db
from licet.db.work_records import WORK_TOPIC

logger = logging.getLogger(__name__)

# A change is told at once; this is the net where one was missed.
_LOOK_SECONDS = 5.0
# What changes often is looked at as seldom as this.
_PAUSE_SECONDS = 0.05
_RETRY_SECONDS = 0.5

Stop = Callable[[str], object]
"""Stops the run of that id, if this process works on it. Called again, it does nothing more."""


class CancelWatch:
    """Follows the databases in which runs of this process are, while it serves.

    Args:
        dbs: the databases.
        executor_id: what this process is called where its runs are stored.
        stop: stops one of its runs.
        look_seconds: how often it looks where nothing is told.
    """

    def __init__(
        self,
        dbs: Iterable[Db],
        *,
        executor_id: str,
        stop: Stop,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._dbs = tuple(dbs)
        self._executor_id = executor_id
        self._stop = stop
        self._look_seconds = look_seconds
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to follow."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._follow(db)) for db in self._dbs]

    async def close(self) -> None:
        """Stop following."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _follow(self, db: Db) -> None:
        outage = Outage(
            logger,
            failing=f"cannot hear of runs to cancel in {db.id!r}",
            working=f"can hear of runs to cancel in {db.id!r} again",
        )
        number = -1
        while True:
            try:
                number = await db.watch(
                    WORK_TOPIC, after=number, timeout_seconds=self._look_seconds
                )
                for run_id in await db.work().cancels_asked(self._executor_id):
                    self._stop(run_id)
            except Exception as error:  # noqa: BLE001 - who stopped would let nobody be cancelled
                outage.failed(error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                outage.worked()
                await asyncio.sleep(_PAUSE_SECONDS)
