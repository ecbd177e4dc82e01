"""EventLog: the frames of one run, numbered, for any number of readers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class EventLog:
    """Frames in order; the index of a frame is its place, from 0.

    Frames are kept once and shared: a slow reader holds an index, not a copy. Used on one event
    loop only.
    """

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._closed = False
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def next_index(self) -> int:
        """The index that the next frame will have."""
        return len(self._frames)

    @property
    def closed(self) -> bool:
        """Whether no frame will follow."""
        return self._closed

    def append(self, frame: bytes) -> None:
        """Add a frame and wake the readers."""
        self._frames.append(frame)
        self._wake()

    def close(self) -> None:
        """No frame follows: readers end when they have read all."""
        self._closed = True
        self._wake()

    async def follow(self, *, after: int = -1, idle_seconds: float) -> AsyncIterator[bytes | None]:
        """Frames with an index above ``after``, joined where several are ready.

        Answers None whenever nothing came for ``idle_seconds``; ends when the log is closed.
        """
        at = after + 1
        while True:
            end = len(self._frames)
            if at < end:
                ready = self._frames[at] if end - at == 1 else b"".join(self._frames[at:end])
                at = end
                yield ready
            elif self._closed:
                return
            elif not await self._woken(idle_seconds):
                yield None

    async def _woken(self, idle_seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.add(waiter)
        timer = loop.call_later(idle_seconds, _resolve, waiter)
        try:
            await waiter
            return waiter not in self._waiting
        finally:
            timer.cancel()
            self._waiting.discard(waiter)

    def _wake(self) -> None:
        for waiter in self._waiting:
            _resolve(waiter)
        self._waiting.clear()


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
