"""RemoteKeys: an issuer's key set, fetched and kept current."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable

from licet.authn.discovery import KeyLocation
from licet.authn.fetching import FetchError, fetch, shown
from licet.authn.jwk import KeySetError, parse_key_set
from licet.authn.key_fetching import KeyFetching
from licet.authn.key_set import KeySet

logger = logging.getLogger(__name__)

_NONE = KeySet(incomplete=True)
_REFRESH_AT = 0.8
# Enough to reach the longest pause.
_MOST_FAILURES = 16
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0


class RemoteKeys:
    """The last good keys of an issuer, asked for again before they are stale.

    For one event loop at a time. Used in another one than before, it goes on asking there.

    Args:
        location: where the key set is.
        allowed: the algorithms that the issuer's tokens may use.
        limits: how often it is asked for, and how long an answer is good.
        monotonic: gives seconds.
        jitter: gives numbers from 0 to 1, so that many replicas do not ask at one moment.
    """

    def __init__(
        self,
        location: KeyLocation,
        *,
        allowed: Iterable[str],
        limits: KeyFetching,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._location = location
        self._allowed = frozenset(allowed)
        self._limits = limits
        self._monotonic = monotonic
        self._jitter = jitter
        self._keys: KeySet | None = None
        self._good_at = float("-inf")
        self._fresh_seconds = 0.0
        # The address that the last answer came from, and the name that it gave to itself.
        self._etag: tuple[str, str] | None = None
        self._failures = 0
        self._refetched_at: float | None = None
        self._flight: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()
        # Where the keys are kept current; None: nowhere.
        self._loop: asyncio.AbstractEventLoop | None = None

    def current(self) -> KeySet:
        """The last good keys; incomplete, where there are none or they are too old."""
        if self._loop is not None and _running_loop() not in (None, self._loop):
            self._keep_current()
        if self._keys is None:
            return _NONE
        age = self._monotonic() - self._good_at
        return self._keys if age <= self._limits.max_stale_seconds else _NONE

    async def refetch(self) -> bool:
        """Ask because a token names an unknown key; at most once in the stated interval."""
        self._keep_current()
        before, now = self.current(), self._monotonic()
        if self._flight is None:
            last = self._refetched_at
            if last is not None and now - last < self._limits.unknown_key_seconds:
                return False
            self._refetched_at = now
        await self._fetched()
        return self.current() is not before

    async def start(self) -> None:
        """Ask for the first time, and go on asking. A provider that is away stops nobody here."""
        self._keep_current()
        await asyncio.wait((self._question(),), timeout=self._limits.timeout_seconds)

    async def close(self) -> None:
        """Stop asking."""
        self._enter_loop()
        self._loop = None
        tasks = [task for task in (self._keeping, self._flight) if task is not None]
        self._keeping = self._flight = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # What was under way in another one has ended with it, or never goes on.
            self._loop, self._keeping, self._flight = loop, None, None
            self._answered = asyncio.Event()

    def _keep_current(self) -> None:
        self._enter_loop()
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            self._answered.clear()
            try:
                # An answer to somebody else's question says anew when the next one is due.
                async with asyncio.timeout(self._pause_seconds()):
                    await self._answered.wait()
            except TimeoutError:
                await self._fetched()

    def _pause_seconds(self) -> float:
        if self._failures:
            doubled = _FIRST_PAUSE_SECONDS * float(2 ** (self._failures - 1))
            return min(doubled, _LONGEST_PAUSE_SECONDS) * (0.5 + 0.5 * self._jitter())
        good_for = min(self._fresh_seconds, self._limits.max_stale_seconds)
        due_at = self._good_at + good_for * (_REFRESH_AT + 0.1 * self._jitter())
        return max(0.0, due_at - self._monotonic())

    async def _fetched(self) -> None:
        # Waited for like this, a caller who leaves does not stop it for the others.
        await asyncio.wait((self._question(),))

    def _question(self) -> asyncio.Task[None]:
        """One at a time: who comes while it is on its way waits for its answer."""
        if self._flight is None:
            self._flight = asyncio.get_running_loop().create_task(self._fetch())
            self._flight.add_done_callback(self._landed)
        return self._flight

    def _landed(self, flight: asyncio.Task[None]) -> None:
        if self._flight is flight:
            self._flight = None
        self._answered.set()

    async def _fetch(self) -> None:
        try:
            await self._ask()
        except (FetchError, KeySetError) as error:
            self._failed(str(error))
        except Exception:
            # Whatever it is: who stops asking would take removed keys for good.
            logger.exception("the issuer's keys cannot be read")
            self._failed("unforeseen; see above")
        else:
            if self._failures:
                logger.warning("the issuer's keys can be read again")
            self._failures = 0

    def _failed(self, reason: str) -> None:
        self._failures = min(self._failures + 1, _MOST_FAILURES)
        self._location.forget()
        if self._failures == 1:
            state = "the last good keys stay in force" if self._keys else "there are none yet"
            logger.warning("the issuer's keys cannot be read, %s: %s", state, reason)

    async def _ask(self) -> None:
        url = await self._location.url()
        known = self._etag[1] if self._etag is not None and self._etag[0] == url else None
        fetched = await fetch(url, limits=self._limits, etag=known)
        if fetched.body is not None:
            self._take(url, fetched.body)
            self._etag = None if fetched.etag is None else (url, fetched.etag)
        self._good_at, self._fresh_seconds = self._monotonic(), fetched.fresh_seconds

    def _take(self, url: str, body: bytes) -> None:
        parsed = parse_key_set(body, allowed=self._allowed, secrets=False, source=shown(url))
        before = self._keys
        if parsed.key_set == before:
            return
        if parsed.complaint is not None:
            logger.error("%s: no token is taken: %s", shown(url), parsed.complaint)
        for reason in parsed.skipped:
            logger.warning("%s: skipped %s", shown(url), reason)
        logger.info("%s: %s", shown(url), _difference(before or KeySet(), parsed.key_set))
        self._keys = parsed.key_set


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _difference(before: KeySet, after: KeySet) -> str:
    old, new = ({key.key_id for key in keys.keys} for keys in (before, after))
    came, went = sorted(new - old), sorted(old - new)
    return f"keys that came: {', '.join(came) or 'none'}; that went: {', '.join(went) or 'none'}"
