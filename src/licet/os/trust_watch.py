"""TrustWatch: follows the revocations and service accounts in the database, as long as we serve."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from licet.authn.outage import Outage
from licet.authn.trust_state import FORGET_AFTER_SECONDS, TrustState
from licet.db.base import Db
from licet.db.trust_records import TRUST_TOPIC, TrustChanges
from licet.errors import StorageError
from licet.os.own_tasks import OwnTasks
from licet.os.ticker import Ticker

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 1.0
_RETRY_SECONDS = 0.25
_REFRESH_SECONDS = 2.0
_EVERYTHING_SECONDS = 600.0
_FORGET_SECONDS = 600.0
_ROWS_AT_ONCE = 1000


class TrustWatch:
    """Keeps a ``TrustState`` what the database says. For one event loop at a time.

    In another loop than before, as where each request has one of its own, it begins anew.

    A database may go back (a failover, a backup) and be overtaken by other changes before anybody
    looks: its number alone does not tell. So all is read anew when a reading has failed or a
    connection was made anew, and every ten minutes in any case. Until that is done, what is known
    stays in force and goes on growing, but it is not confirmed.

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
        self._store = db.trust()
        self._state = state
        self._ticker = Ticker(on_tick)
        self._now = now
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks = OwnTasks()
        # How often something made what is known doubtful, beside new connections; and how it stood
        # when all was read that is known now. None: nothing was read.
        self._doubts = 0
        self._settled: tuple[int, int] | None = None
        self._read_all_at = float("-inf")
        self._forgot_at = float("-inf")
        # One, whoever reads: with each request that finds the state too old there is a reading.
        self._outage = Outage(
            logger,
            failing="revocations cannot be read",
            working="revocations can be read again",
        )
        # One reading at a time: an older one must not be taken over after a newer one.
        self._lock = asyncio.Lock()

    @property
    def is_current(self) -> bool:
        """Whether what is known of revocations is not too old to go by."""
        return self._state.is_current

    async def start(self) -> None:
        """Read everything, then follow what changes.

        Raises:
            StorageError: it could not be read.
        """
        self._enter_loop()
        await self._read_everything()
        self._tasks.run("following", self._follow_changes)

    async def refresh(self) -> bool:
        """Read what has changed up to now. A failure is only logged. Answers whether it was read.

        An app that is served without its lifespan begins to follow here.
        """
        self._enter_loop()
        self._tasks.run("following", self._follow_changes)
        # All who ask before it begins share one reading. One that has begun may have missed what
        # was just written. Waited for like this, one who leaves does not take it from the others.
        queued = self._tasks.run("refreshing", self._refresh)
        await asyncio.wait((queued,), timeout=_REFRESH_SECONDS)
        return queued.done() and not queued.cancelled() and bool(queued.result())

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
                self._failed(error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _step(self) -> None:
        if self._is_in_doubt() or time.monotonic() - self._read_all_at >= _EVERYTHING_SECONDS:
            # Beside the following: there may be hundreds of thousands of rows.
            self._tasks.run("everything", self._read_everything_anew)
        began = time.monotonic()
        number = await self._db.watch(
            TRUST_TOPIC, after=self._state.number, timeout_seconds=_WAIT_SECONDS
        )
        if number == self._state.number:
            self._confirm(began)
        else:
            async with self._lock:
                await self._read_changes()
        if time.monotonic() - self._forgot_at >= _FORGET_SECONDS:
            # Beside it, too: a write may have to wait.
            self._forgot_at = time.monotonic()
            self._state.forget_expired()
            self._tasks.run("forgetting", self._forget_expired)

    async def _refresh(self) -> bool:
        try:
            if self._is_in_doubt():
                await asyncio.wait((self._tasks.run("everything", self._read_everything_anew),))
            async with self._lock:
                self._tasks.let_go("refreshing")
                await self._read_changes()
        except Exception as error:  # noqa: BLE001 - whoever waits sees that the state is still old
            self._failed(error)
            return False
        return not self._is_in_doubt()

    async def _read_everything_anew(self) -> None:
        try:
            await self._read_everything()
        except Exception as error:  # noqa: BLE001 - tried again, as long as what is known is doubtful
            if self._is_in_doubt():
                self._failed(error)
            else:
                # It was the net alone: nothing says that anything is missing.
                self._read_all_at = time.monotonic()
                logger.warning("the revocations are not read anew for another while: %s", error)

    async def _read_everything(self) -> None:
        standing = self._standing()
        fresh = await _state_of(await self._store.everything())
        async with self._lock:
            began = time.monotonic()
            since = await self._store.changes(after=fresh.number)
            if since.number < fresh.number:
                # It went back in between.
                fresh, since = TrustState(), await self._store.changes(after=0)
            fresh.apply(since)
            self._state.take_over(fresh)
            self._settled, self._read_all_at = standing, began
            self._confirm(began)

    async def _read_changes(self) -> None:
        """Take over what has changed. Under the lock."""
        began = time.monotonic()
        changes = await self._store.changes(after=self._state.number)
        if changes.number >= self._state.number:
            self._state.apply(changes)
        elif not self._is_in_doubt():
            # The database was set back.
            self._doubts += 1
        self._confirm(began)

    def _standing(self) -> tuple[int, int]:
        return self._doubts, self._store.reconnects

    def _is_in_doubt(self) -> bool:
        return self._settled != self._standing()

    def _failed(self, error: Exception) -> None:
        self._doubts += 1
        self._outage.failed(error)

    def _confirm(self, read_at: float) -> None:
        """Nothing was missing at that time, as far as that can be said."""
        if not self._is_in_doubt():
            self._outage.worked()
            self._state.confirm(read_at=read_at)
        self._ticker.ask()

    async def _forget_expired(self) -> None:
        long_ago = self._now() - FORGET_AFTER_SECONDS
        try:
            await self._db.trust().forget_expired(now_us=int(long_ago * 1_000_000))
        except StorageError as error:
            logger.warning("expired revocations stay stored for another while: %s", error)


async def _state_of(everything: TrustChanges) -> TrustState:
    """A state that knows this. Others are let work in between, however much it is."""
    state = TrustState()
    for at in range(0, len(everything.revocations), _ROWS_AT_ONCE):
        state.revocations.apply(everything.revocations[at : at + _ROWS_AT_ONCE])
        await asyncio.sleep(0)
    state.apply(replace(everything, revocations=()))
    return state
