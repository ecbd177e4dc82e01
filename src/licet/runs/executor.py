"""Executor: this process among those that work on runs, and whether it may go on.

It says that it lives, again and again. When it is not heard of, others take its runs over: so it
begins nothing new while it cannot say so, and leaves everything once another one has said that it
died.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from licet.db.base import Db
from licet.db.work_records import ExecutorEnd, ExecutorRecord
from licet.errors import StorageError

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """How often a process says that it lives, and when others stop believing it.

    Args:
        beat_seconds: how often.
        dead_seconds: an executor that was not heard of for so long has died.
    """

    beat_seconds: float = 1.0
    dead_seconds: float = 6.0

    @property
    def lease_seconds(self) -> float:
        """How long it may begin something new after it was heard: well before it is dead."""
        return self.dead_seconds * 2 / 3


def new_executor_id() -> str:
    """A name that no other process has, nor had: the engine takes runs over by it."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"


class Executor:
    """This process in one database.

    The beats come from a thread of its own: a tool that blocks the event loop does not kill it.

    Args:
        db: where it is registered.
        id: what it is called.
        heartbeat: how often it beats.
        leave: stops what works here, and stores nothing of it; awaited once another process has
            said that this one died.
        settle: sees to what was left of it; awaited when it has registered again.
    """

    def __init__(
        self,
        db: Db,
        *,
        id: str,
        heartbeat: Heartbeat,
        leave: Callable[[], Awaitable[None]],
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        self.id = id
        self._db = db
        self._heartbeat = heartbeat
        self._leave = leave
        self._settle = settle
        self._heard_at = -float("inf")
        self._renewed = asyncio.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._returning: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._lives = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_heard(self) -> bool:
        """Whether it may begin something: nobody can have taken its runs over yet."""
        return time.monotonic() - self._heard_at < self._heartbeat.lease_seconds

    async def heard(self) -> None:
        """Wait until it may begin something."""
        while not self.is_heard:
            self._renewed.clear()
            await self._renewed.wait()

    async def start(self) -> None:
        """Register, and begin to beat.

        Raises:
            StorageError: the database cannot be reached.
        """
        self._loop = asyncio.get_running_loop()
        await self._register()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._beat()), name=f"licet-beat-{self._db.id}", daemon=True
        )
        self._thread.start()

    async def close(self) -> None:
        """Stop beating, and say that this process has left: others see to what is left of it."""
        if self._thread is None:
            return
        self._stop.set()
        # A beat that hangs is not waited for: the database is told nothing then.
        await asyncio.to_thread(self._thread.join, _JOIN_SECONDS)
        for task in (self._returning, self._settling):
            if task is not None:
                task.cancel()
        try:
            await self._db.work().end_executor(self.id, end=ExecutorEnd.LEFT, beats=None)
        except StorageError as error:
            logger.warning("nobody could be told that this process has left: %s", error)

    async def _register(self) -> None:
        began = time.monotonic()
        record = ExecutorRecord(id=self.id, started_at_us=time.time_ns() // 1000)
        await self._db.work().register_executor(record)
        self._lives += 1
        self._heard_at = began
        self._renewed.set()

    async def _beat(self) -> None:
        work = self._db.work()
        while not await asyncio.to_thread(self._stop.wait, self._heartbeat.beat_seconds):
            began, life = time.monotonic(), self._lives
            try:
                if await work.beat(self.id):
                    self._heard_at = began
                    self._tell(self._renewed.set)
                else:
                    self._tell(partial(self._died, life))
            except StorageError as error:
                logger.warning("the database does not hear that this process lives: %s", error)
            except Exception:
                # Whatever it was: a heart that stops is a process that is dead for ever.
                logger.exception("the database does not hear that this process lives")

    def _died(self, life: int) -> None:
        if life != self._lives or self._stop.is_set():
            # It has come back since, or it is leaving.
            return
        self._heard_at = -float("inf")
        if self._returning is None:
            logger.error(
                "this process was taken for dead: it was not heard of for %g seconds. "
                "What it worked on is left",
                self._heartbeat.dead_seconds,
            )
            self._returning = asyncio.ensure_future(self._return())

    async def _return(self) -> None:
        try:
            if self._settling is not None:
                self._settling.cancel()
            # First nothing of it may be at work any more: others are, by now.
            await self._leave()
            await self._register()
            self._settling = asyncio.ensure_future(self._settle_at_last())
        except StorageError as error:
            # The next beat tells that it is dead still.
            logger.warning("this process cannot go on yet: %s", error)
        except Exception:
            logger.exception("this process cannot go on yet")
        finally:
            self._returning = None

    async def _settle_at_last(self) -> None:
        """See to what was left; it is nobody else's business now that this process lives."""
        while True:
            try:
                await self._settle()
            except StorageError as error:
                logger.warning("what this process has left cannot be seen to yet: %s", error)
            except Exception:
                logger.exception("what this process has left cannot be seen to yet")
            else:
                return
            await asyncio.sleep(self._heartbeat.beat_seconds)

    def _tell(self, what: Callable[[], object]) -> None:
        assert self._loop is not None  # noqa: S101 - set where the thread is started
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            # The loop has ended: nothing is left that could be told.
            self._stop.set()
