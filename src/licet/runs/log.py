"""EventLog: the frames of one run, numbered, for any number of readers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from licet.runs.event_source import Gap, Piece

MAX_FRAMES = 10_000
MAX_BYTES = 8 * 1024 * 1024
# What a reader is given at once: one that begins late must not double the log.
_JOINED_BYTES = 64 * 1024


class EventLog:
    """Frames in order; the index of a frame is its place among all that were added, from 0.

    Frames are kept once and shared: a slow reader holds an index, not a copy. Of too many, the
    oldest go, and readers that had not fetched them are told; the last one always stays. Used on
    one event loop only.

    Args:
        max_frames: how many are kept.
        max_bytes: how large those are together.
        first_index: the index of the first frame, where there were others before.
        leg: which leg of its run the newest frames are of.
    """

    replayed = False

    def __init__(
        self,
        *,
        max_frames: int = MAX_FRAMES,
        max_bytes: int = MAX_BYTES,
        first_index: int = 0,
        leg: int = 0,
    ) -> None:
        self.leg = leg
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: deque[bytes] = deque()
        self._first = first_index
        self._bytes = 0
        self._ended = False
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def next_index(self) -> int:
        """The index that the next frame will have."""
        return self._first + len(self._frames)

    @property
    def first_index(self) -> int:
        """The index of the oldest frame that is kept."""
        return self._first

    @property
    def size_bytes(self) -> int:
        """How large the frames are that are kept."""
        return self._bytes

    @property
    def ended(self) -> bool:
        """Whether no frame will follow."""
        return self._ended

    @property
    def last(self) -> bytes:
        """The newest frame; empty where there is none."""
        return self._frames[-1] if self._frames else b""

    def begin_at(self, index: int) -> None:
        """An empty log begins there."""
        if not self._frames:
            self._first = index

    def reopen(self, *, leg: int) -> None:
        """More follows after all: the run goes on, in another leg."""
        self.leg = leg
        self._ended = False

    def append(self, frame: bytes) -> None:
        """Add a frame and wake the readers."""
        frames = self._frames
        frames.append(frame)
        self._bytes += len(frame)
        while (len(frames) > self._max_frames or self._bytes > self._max_bytes) and len(frames) > 1:
            self._bytes -= len(frames.popleft())
            self._first += 1
        self._wake()

    def close(self) -> None:
        """No frame follows: readers end when they have read all."""
        self._ended = True
        self._wake()

    async def follow(
        self, *, after: int = -1, before: int | None = None, idle_seconds: float
    ) -> AsyncIterator[Piece]:
        """Frames with an index above ``after`` and below ``before``. See ``EventSource``."""
        at, frames = after + 1, self._frames
        while before is None or at < before:
            first = self._first
            end = first + len(frames)
            if first <= at == end - 1:
                at = end
                yield frames[-1]
            elif at < first:
                missed_to = first if before is None else min(first, before)
                gap = Gap(at, missed_to - at)
                at = missed_to
                yield gap
            elif at < end:
                ready = self._some(at, end if before is None else min(end, before))
                at += len(ready)
                yield b"".join(ready)
            elif self._ended:
                return
            elif not await self._woken(idle_seconds):
                yield None

    def _some(self, at: int, end: int) -> list[bytes]:
        """Frames from an index on, up to a size, and up to another index."""
        found, size = [], 0
        while at < end and size < _JOINED_BYTES:
            frame = self._frames[at - self._first]
            found.append(frame)
            size += len(frame)
            at += 1
        return found

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
