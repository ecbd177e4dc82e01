"""Waiting until a topic changes: who waits, how they are woken, how they look for themselves."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from licet.errors import StorageError


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    topic: str
    loop: asyncio.AbstractEventLoop
    woken: asyncio.Event


class Waiters:
    """The tasks that wait for topics, on any event loop in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[_Waiter] = set()

    def __len__(self) -> int:
        with self._lock:
            return len(self._waiting)

    @contextlib.contextmanager
    def waiting(self, topic: str) -> Iterator[asyncio.Event]:
        """An event of the running loop that is set by every ``wake`` inside of the block."""
        waiter = _Waiter(topic, asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._waiting.add(waiter)
        try:
            yield waiter.woken
        finally:
            with self._lock:
                self._waiting.discard(waiter)

    def wake(self, topic: str | None) -> None:
        """Wake who waits for a topic; None: everybody. From any thread."""
        with self._lock:
            woken = [waiter for waiter in self._waiting if topic in (None, waiter.topic)]
        for waiter in woken:
            # RuntimeError: that loop has ended, and nobody is left who waits on it.
            with contextlib.suppress(RuntimeError):
                waiter.loop.call_soon_threadsafe(waiter.woken.set)


async def wait_for_change(
    waiters: Waiters,
    topic: str,
    read: Callable[[], Awaitable[int]],
    *,
    after: int,
    timeout_seconds: float,
    poll_seconds: float | None,
) -> int:
    """Read the number of a topic until it is above ``after``, or the time is over; answer it.

    It is read when somebody wakes the waiters, and every ``poll_seconds`` (None: only then).
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout_seconds
    # From here on no wake is lost: not even one before the first reading has come back.
    with waiters.waiting(topic) as woken:
        while True:
            woken.clear()
            number = await read()
            left = deadline - clock()
            if number > after or left <= 0:
                return number
            pause = left if poll_seconds is None else min(left, poll_seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await woken.wait()


def no_such_topic(topic: str) -> StorageError:
    """What to raise where a database knows no such topic: a wait for it would never end."""
    return StorageError(f"the database has no topic {topic!r} that could be followed")
