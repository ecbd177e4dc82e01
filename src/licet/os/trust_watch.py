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
from licet.errors import StorageError
from licet.os.own_tasks import OwnTasks
from licet.os.ticker import Ticker

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 1.0
_RETRY_SECONDS = 0.25
_REFRESH_SECONDS = 2.0
_FORGET_SECONDS = 600.0


class TrustWatch:
    """Keeps a ``TrustState`` what the database says. For one event loop at a time.

    In another loop than before, as where each request has one of its own, it begins anew.

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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks = OwnTasks()
        self._forgot_at = float("-inf")
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
        self._enter_loop()
        async with self._lock:
            await self._read()
        self._tasks.run("following", self._follow_changes)

    async def refresh(self) -> None:
        """Read what has changed up to now. A failure is only logged.

        An app that is served without its lifespan begins to follow here.
        """
        self._enter_loop()
        self._tasks.run("following", self._follow_changes)
        # All who ask before it begins share one reading. One that has begun may have missed what
        # was just written. Waited for like this, one who leaves does not take it from the others.
        queued = self._tasks.run("refreshing", self._refresh)
        await asyncio.wait((queued,), timeout=_REFRESH_SECONDS)

    async def close(self) -> None:
        """Stop following."""
        self._enter_loop()
        self._ticker.close()
        await self._tasks.cancel()

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # What was under way in another one has ended with it, or never goes on.
            self._loop, self._tasks, self._lock = loop, OwnTasks(), asyncio.Lock()

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
            async with self._lock:
                await self._read()
        if time.monotonic() - self._forgot_at >= _FORGET_SECONDS:
            # Beside the following: a write may have to wait.
            self._forgot_at = time.monotonic()
            self._state.forget_expired()
            self._tasks.run("forgetting", self._forget_expired)

    async def _refresh(self) -> None:
        try:
            async with self._lock:
                self._tasks.let_go("refreshing")
                await self._read()
        except Exception as error:  # noqa: BLE001 - whoever waits sees that the state is still old
            self._outage.failed(error)

    async def _read(self) -> None:
        """Take over what has changed. Under the lock."""
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
        long_ago = self._now() - FORGET_AFTER_SECONDS
        try:
            await self._db.trust().forget_expired(now_us=int(long_ago * 1_000_000))
        except StorageError as error:
            logger.warning("expired revocations stay stored for another while: %s", error)
