"""Watchman: notices that another process has died, and sees to what it worked on.

A process is dead when it says nothing new for so long that this one has listened all the while, and
has said itself, as often as the other should have, that it lives: no clock is compared with that of
another machine, and a database that was away, or took no writes, for a time makes nobody dead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from licet.db.base import Db
from licet.db.work_records import ExecutorEnd, ExecutorRecord
from licet.errors import StorageError
from licet.runs.executor import Heartbeat

logger = logging.getLogger(__name__)

Settle = Callable[[str], Awaitable[bool]]
"""Sees to what is left of a process that has ended. Answers whether nothing is left of it."""


class _Heard(NamedTuple):
    """The last that was heard of a process: when, and how often this one had beaten by then."""

    beats: int
    since: float
    own_beats: int


class Watchman:
    """Watches over the other processes of one database.

    Args:
        db: where they are registered.
        id: this process.
        heartbeat: when they count as dead.
        settle: sees to what is left.
    """

    def __init__(self, db: Db, *, id: str, heartbeat: Heartbeat, settle: Settle) -> None:
        self._db = db
        self._id = id
        self._heartbeat = heartbeat
        self._settle = settle
        self._heard: dict[str, _Heard] = {}

    async def look(self) -> None:
        """Look once: who has died is said to have, and what has ended is seen to.

        What cannot be done for one of them keeps none of the others waiting.

        Raises:
            StorageError: the database could not say, or not all could be seen to.
        """
        try:
            executors = await self._db.work().executors()
        except StorageError:
            # From here on all begins anew: while nobody could say anything, nobody was silent.
            self._heard.clear()
            raise
        now = time.monotonic()
        own = next((e for e in executors if e.id == self._id and e.ended is None), None)
        if own is None:
            # One that is taken for dead itself says so of nobody else.
            self._heard.clear()
            return
        living = {executor.id for executor in executors if executor.ended is None}
        self._heard = {name: heard for name, heard in self._heard.items() if name in living}
        failure: Exception | None = None
        for executor in executors:
            try:
                if executor.ended is not None:
                    await self._see_to(executor.id)
                elif executor is not own:
                    await self._listen(executor, now, own_beats=own.beats)
            except Exception as error:  # noqa: BLE001 - raised below
                failure = failure or error
        if failure is not None:
            raise failure

    async def _listen(self, executor: ExecutorRecord, now: float, *, own_beats: int) -> None:
        heard = self._heard.get(executor.id)
        if heard is None or heard.beats != executor.beats:
            self._heard[executor.id] = _Heard(executor.beats, now, own_beats)
            return
        silent_seconds = now - heard.since
        enough_beats = self._heartbeat.dead_seconds // self._heartbeat.beat_seconds
        if (
            silent_seconds >= self._heartbeat.dead_seconds
            and own_beats - heard.own_beats >= enough_beats
        ):
            died = await self._db.work().end_executor(
                executor.id, end=ExecutorEnd.DIED, beats=executor.beats
            )
            if died:
                logger.error(
                    "the process %s has died: it was not heard of for %.1f seconds. "
                    "Its durable runs go on elsewhere, the others end",
                    executor.id,
                    silent_seconds,
                )
                await self._see_to(executor.id)

    async def _see_to(self, executor_id: str) -> None:
        if await self._settle(executor_id):
            await self._db.work().settle_executor(executor_id)


async def repeatedly(what: Callable[[], Awaitable[None]], *, every_seconds: float) -> None:
    """Do something for ever. What the database cannot do now is tried the next time."""
    while True:
        try:
            await what()
        except StorageError as error:
            logger.warning("the work of others cannot be seen to at present: %s", error)
        except Exception:
            logger.exception("the work of others could not be seen to")
        await asyncio.sleep(every_seconds)
