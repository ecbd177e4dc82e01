"""Recorder: takes events quickly and gives them to a sink in batches. Bounded in memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from licet.audit.event import AuditEvent, EventKind
from licet.audit.sink import AuditSink
from licet.errors import LicetError

logger = logging.getLogger(__name__)

_MAX_BATCH = 2000
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
_CLOSE_SECONDS = 10.0


class AuditUnavailableError(LicetError):
    """The record of what was decided cannot be taken: so it is not done."""

    code = "audit_unavailable"


class Recorder:
    """Gives events to one sink, in their order; what fails is given again until it is kept.

    *Batched*: an event is accepted when it is in memory, and written a moment later. *Blocking*: it
    is accepted when the sink has kept it. Either way ``record`` raises instead of losing one.

    Args:
        sink: keeps them.
        blocking: wait until the sink has kept an event.
        batch_seconds: how long events are gathered, where nobody waits; from one batch to the next.
        max_waiting: how many may wait in memory.
        timeout_seconds: how long a blocking call waits.
        now_us: gives epoch microseconds.
    """

    def __init__(
        self,
        sink: AuditSink,
        *,
        blocking: bool = False,
        batch_seconds: float = 0.2,
        max_waiting: int = 20_000,
        timeout_seconds: float = 2.0,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._sink = sink
        self._blocking = blocking
        self._batch_seconds = 0.0 if blocking else batch_seconds
        self._max_waiting = max_waiting
        self._timeout_seconds = timeout_seconds
        self._now_us = now_us
        # What is not known to be kept, in its order; the first of it are in the sink's hands.
        self._waiting: list[AuditEvent] = []
        self._given = 0
        self._kept = 0
        self._refused = 0
        self._enough = max(1, min(_MAX_BATCH, max_waiting // 2))
        self._readers: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._closing = False
        self._working: asyncio.Task[None] | None = None

    @property
    def sink(self) -> AuditSink:
        """What keeps them."""
        return self._sink

    @property
    def waiting(self) -> int:
        """How many events are in memory and not known to be kept."""
        return len(self._waiting)

    async def start(self) -> None:
        """Start the sink, and the work.

        Raises:
            Exception: the sink cannot keep anything.
        """
        await self._sink.start()
        self._work_on()

    async def record(self, event: AuditEvent) -> None:
        """Take an event.

        Raises:
            AuditUnavailableError: too many wait already, or it was not kept in time. In the latter
                case it may be kept later all the same.
        """
        if self._closing or len(self._waiting) >= self._max_waiting:
            self._refused += 1
            raise AuditUnavailableError(
                "the audit trail is being closed"
                if self._closing
                else "too many audit records wait to be written"
            )
        self._waiting.append(event)
        self._work_on()
        self._wake.set()
        if len(self._waiting) >= self._enough:
            self._hurry.set()
        if self._blocking:
            await self._until_kept(self._kept + len(self._waiting))

    async def close(self) -> None:
        """Write what waits, for some seconds; then close the sink. Meanwhile nothing is taken."""
        self._closing = True
        try:
            if self._waiting or self._refused:
                self._work_on()
            self._wake.set()
            self._hurry.set()
            if self._working is not None and not self._working.done():
                _, late = await asyncio.wait((self._working,), timeout=_CLOSE_SECONDS)
                for task in late:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
            self._lose_the_rest()
            await self._sink.close()
        finally:
            self._working = None
            self._closing = False

    def _lose_the_rest(self) -> None:
        if self._waiting:
            logger.error("%d audit records could not be written and are lost", len(self._waiting))
        self._kept += len(self._waiting)
        self._waiting.clear()
        self._given = 0
        for _, kept in self._readers:
            if not kept.done():
                kept.set_exception(AuditUnavailableError("an audit record was not written"))
        self._readers.clear()

    def _work_on(self) -> None:
        # Also for an app that is served without its lifespan, and on one event loop after another.
        if self._working is None or self._working.done():
            self._wake, self._hurry = asyncio.Event(), asyncio.Event()
            if self._waiting or self._refused:
                self._wake.set()
            self._working = asyncio.get_running_loop().create_task(self._work())

    async def _until_kept(self, number: int) -> None:
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.append((number, kept))
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await kept
        except TimeoutError:
            self._refused += 1
            raise AuditUnavailableError("an audit record was not written in time") from None

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            began = loop.time()
            while self._waiting or self._refused:
                # Before each batch: under load something always waits, and a batch has its price.
                await self._gather(until=began + self._batch_seconds)
                began = loop.time()
                self._note_refusals()
                await self._keep()
            if self._closing:
                return

    async def _gather(self, *, until: float) -> None:
        """Let more arrive, unless somebody waits for it or there is enough."""
        if self._closing or self._given or len(self._waiting) >= self._enough:
            return
        if self._batch_seconds:
            self._hurry.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._hurry.wait()

    async def _keep(self) -> None:
        """Give a batch to the sink until it is kept; one that was given already as it was."""
        self._given = self._given or min(len(self._waiting), _MAX_BATCH)
        batch = self._waiting[: self._given]
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._sink.write(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is: nothing is lost for it
                if pause_seconds == _FIRST_PAUSE_SECONDS:
                    logger.error("audit records cannot be written: %s", error)  # noqa: TRY400 - once
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
            else:
                if pause_seconds != _FIRST_PAUSE_SECONDS:
                    logger.warning("audit records can be written again")
                break
        del self._waiting[: self._given]
        self._kept += self._given
        self._given = 0
        while self._readers and self._readers[0][0] <= self._kept:
            _, kept = self._readers.popleft()
            if not kept.done():
                kept.set_result(None)

    def _note_refusals(self) -> None:
        refused, self._refused = self._refused, 0
        if not refused:
            return
        self._waiting.append(
            AuditEvent(
                time_us=self._now_us(),
                request_id="",
                kind=EventKind.GAP.value,
                decision="deny",
                status=503,
                reason=f"{refused} requests were refused: their records could not be taken",
                rule="audit",
                issuer_alias=None,
                subject=None,
                credential="none",
                token_id=None,
                action=None,
                resource=None,
                resource_id=None,
                method="",
                route="",
                client=None,
                latency_us=0,
            )
        )
