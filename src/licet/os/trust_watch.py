"""TrustWatch: follows the revocations and service accounts in the database, as long as we serve."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from licet.authn.outage import Outage
from licet.authn.trust_state import FORGET_AFTER_SECONDS, TrustState
from licet.db.base import Db
from licet.db.trust_records import TRUST_TOPIC
from licet.os.ticker import Ticker

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 1.0
_RETRY_SECONDS = 0.25
_REFRESH_SECONDS = 2.0
_FORGET_SECONDS = 600.0


class TrustWatch:
    """Keeps a ``TrustState`` what the database says. For one event loop at a time.

    Args:
        db: where revocations and service accounts are.
        state: what is kept up to date.
        on_tick: called when something changed, a few times a second at most, and every second when
            nothing did or nothing can be read: what a principal has may end by the clock, too.
        now: gives epoch seconds.
    """

    def __init__(
        self,
        db: Db,
        state: TrustState,
        *,
        on_tick: Callable[[], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._state = state
        self._ticker = Ticker(on_tick)
        self._now = now
        self._following: asyncio.Task[None] | None = None
        self._queued: asyncio.Task[None] | None = None
        self._forgot_at = 0.0
        # One, whoever reads: with each request that finds the state too old there is a reading.
        self._outage = Outage(
            logger,
            failing="revocations cannot be read",
            working="revocations can be read again",
        )
        # One reading at a time: an older one must not be taken over after a newer one.
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Read everything, then follow what changes.

        Raises:
            StorageError: it could not be read.
        """
        await self._read()
        self._follow()

    async def refresh(self) -> None:
        """Read what has changed up to now. A failure is only logged.

        An app that is served without its lifespan begins to follow here.
        """
        self._follow()
        # All who ask before it begins share one reading. One that has begun may have missed what
        # was just written. Waited for like this, one who leaves does not take it from the others.
        if self._queued is None:
            self._queued = asyncio.get_running_loop().create_task(self._read_queued())
        await asyncio.wait((self._queued,), timeout=_REFRESH_SECONDS)

    async def close(self) -> None:
        """Stop following."""
        self._ticker.close()
        tasks = [task for task in (self._following, self._queued) if task is not None]
        self._following = self._queued = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The next event loop gets one of its own.
        self._lock = asyncio.Lock()

    def _follow(self) -> None:
        if self._following is None or self._following.done():
            self._following = asyncio.get_running_loop().create_task(self._follow_changes())

    async def _follow_changes(self) -> None:
        while True:
            try:
                await self._step()
            except Exception as error:  # noqa: BLE001 - who stopped would let revocations go unnoticed
                self._outage.failed(error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _step(self) -> None:
        began = time.monotonic()
        number = await self._db.watch(
            TRUST_TOPIC, after=self._state.number, timeout_seconds=_WAIT_SECONDS
        )
        if number == self._state.number:
            self._confirm(began)
        else:
            await self._read()
        await self._forget_expired()

    async def _read_queued(self) -> None:
        try:
            async with self._lock:
                self._queued = None
                await self._read_locked()
        except Exception as error:  # noqa: BLE001 - whoever waits sees that the state is still old
            self._outage.failed(error)

    async def _read(self) -> None:
        async with self._lock:
            await self._read_locked()

    async def _read_locked(self) -> None:
        began = time.monotonic()
        changes = await self._db.trust().changes(after=self._state.number)
        if changes.number < self._state.number:
            # The database was set back to an older state: what it says now is all there is.
            changes = await self._db.trust().changes(after=0)
            self._state.reset()
        self._state.apply(changes)
        self._confirm(began)

    def _confirm(self, read_at: float) -> None:
        self._outage.worked()
        self._state.confirm(read_at=read_at)
        self._ticker.ask()

    async def _forget_expired(self) -> None:
        now = time.monotonic()
        if now - self._forgot_at < _FORGET_SECONDS:
            return
        self._forgot_at = now
        self._state.forget_expired()
        long_ago = self._now() - FORGET_AFTER_SECONDS
        await self._db.trust().forget_expired(now_us=int(long_ago * 1_000_000))
