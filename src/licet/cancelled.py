"""Cancelled: tells whoever works for a run that it was stopped, in whatever thread they do.

Imports nothing of licet.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator


class Cancelled:
    """Whether a run was stopped. As a condition it is true from then on.

    A function in a thread looks at it between two pieces of its work, or waits with
    ``wait_in_thread`` where it would sleep. A coroutine is cancelled anyway; what it has started
    elsewhere may ``await cancelled.wait()``.
    """

    def __init__(self) -> None:
        self._reason: str | None = None
        self._lock = threading.Lock()
        self._wakers: set[Callable[[], object]] = set()

    def __bool__(self) -> bool:
        return self._reason is not None

    @property
    def reason(self) -> str | None:
        """Why the run was stopped; None: it was not."""
        return self._reason

    def set(self, reason: str) -> None:
        """Tell everybody, from any thread. What is said first stays."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    def wait_in_thread(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the run is stopped, or the time is over; whether it is. Blocks its thread."""
        told = threading.Event()
        with self._waking(told.set):
            told.wait(0.0 if self else timeout_seconds)
        return bool(self)

    async def wait(self) -> None:
        """Wait until the run is stopped."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            # RuntimeError: that loop has ended, and nobody is left who waits on it.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(woken.set)

        with self._waking(wake):
            if not self:
                await woken.wait()

    @contextlib.contextmanager
    def _waking(self, wake: Callable[[], object]) -> Iterator[None]:
        """Inside of the block ``wake`` is called when the run is stopped, from whichever thread."""
        with self._lock:
            self._wakers.add(wake)
        try:
            yield
        finally:
            with self._lock:
                self._wakers.discard(wake)
