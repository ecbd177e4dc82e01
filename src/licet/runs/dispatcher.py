"""Dispatcher: takes durable runs on that wait in a database, while this process has room."""

from __future__ import annotations

import asyncio
import logging
import time

from licet.db.base import Db
from licet.db.work_records import QueueLimits
from licet.errors import LicetError
from licet.runs.durable import DurableRuns
from licet.runs.executor import Executor

logger = logging.getLogger(__name__)

_TRY_AGAIN_SECONDS = 1.0
# The net below the wakes: a run that waits for a limit, or that nobody told of.
_LOOK_SECONDS = 5.0
# How long a run waits for a process that serves its agent: any roll-out is over by then.
_UNSERVED_SECONDS = 3600


class Dispatcher:
    """The queue of one database, as far as this process serves it.

    Args:
        db: where the runs wait.
        executor: this process; nothing is taken on while it is not heard of.
        runs: works on what is taken on.
        limits: how many may work at once.
    """

    def __init__(
        self, db: Db, *, executor: Executor, runs: DurableRuns, limits: QueueLimits
    ) -> None:
        self._db = db
        self._executor = executor
        self._runs = runs
        self._limits = limits
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look now: a run was enqueued, or one ended."""
        self._wake.set()

    async def run(self) -> None:
        """Take runs on for ever."""
        while True:
            self._wake.clear()
            wait_seconds = _LOOK_SECONDS
            try:
                await self._take_all()
            except LicetError as error:
                logger.warning("no durable run can be taken on at present: %s", error)
                wait_seconds = _TRY_AGAIN_SECONDS
            except Exception:
                logger.exception("no durable run can be taken on at present")
                wait_seconds = _TRY_AGAIN_SECONDS
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _take_all(self) -> None:
        work = self._db.work()
        while self._runs.has_room and await work.waiting():
            # Before the claim: a process whose engine does not start takes nothing on.
            await self._runs.ready()
            await self._executor.heard()
            now_us = time.time_ns() // 1000
            claimed = await work.claim(
                self._executor.id,
                agent_ids=self._runs.agent_ids,
                unserved_before_us=now_us - _UNSERVED_SECONDS * 1_000_000,
                limits=self._limits,
                now_us=now_us,
            )
            if claimed is None:
                return
            try:
                await self._runs.start(claimed, self._db.id)
            except BaseException:
                await work.put_back(claimed.run.run_id, executor_id=self._executor.id)
                raise
