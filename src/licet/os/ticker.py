"""Ticker: calls something soon when it is asked to, never too often, and now and then unasked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.25
_IDLE_SECONDS = 1.0


class Ticker:
    """Asked, it acts at once, or as soon as ``pause_seconds`` have passed since it acted last.

    However often it was asked meanwhile, that is one action. From the first time on it acts also
    when nobody asks, every ``idle_seconds``: what ends by the clock ends without any event.

    Args:
        act: what it does. Whatever that raises is logged.
        pause_seconds: between two actions at least.
        idle_seconds: between two actions at most.
    """

    def __init__(
        self,
        act: Callable[[], None],
        *,
        pause_seconds: float = _PAUSE_SECONDS,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self._act = act
        self._pause_seconds = pause_seconds
        self._idle_seconds = idle_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._acted_at = 0.0

    def ask(self) -> None:
        """Act now, or shortly. In another event loop than before it begins anew."""
        loop = asyncio.get_running_loop()
        due_at = self._acted_at + self._pause_seconds
        if self._timer is None or loop is not self._loop or due_at <= loop.time():
            self._loop = loop
            self._fire()
        elif due_at < self._timer.when():
            self._set(due_at)

    def close(self) -> None:
        """Act no more, until it is asked."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        assert self._loop is not None  # noqa: S101 - it was asked in one
        self._acted_at = self._loop.time()
        self._set(self._acted_at + self._idle_seconds)
        try:
            self._act()
        except Exception:
            logger.exception("what is to happen regularly failed")

    def _set(self, due_at: float) -> None:
        assert self._loop is not None  # noqa: S101 - as above
        self.close()
        self._timer = self._loop.call_at(due_at, self._fire)
