"""EventLog: the frames of one run, numbered, for any number of readers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice

from licet.runs.backlog import Backlog
from licet.runs.event_source import Gap, Piece
from licet.runs.silence import Silence

MAX_FRAMES = 10_000
MAX_BYTES = 8 * 1024 * 1024
# What a reader is given at once: one that begins late must not double the log.
_JOINED_BYTES = 64 * 1024


class EventLog:
    """Frames in order; the index of a frame is its place among all that were added, from 0.

    Frames are kept once and shared: a slow reader holds an index, not a copy. Of too many, the
    oldest go, and readers that had not fetched them are told; the last one always stays. How many
    are too many does not depend on how they are kept (``Backlog``). Used on one event loop only.

    Args:
        max_frames: how many are kept.
        max_bytes: how large those are together.
        first_index: the index of the first frame, where there were others before.
        leg: which leg of its run the newest frames are of.
    """

    __slots__ = (
        "_bytes",
        "_ended",
        "_first",
        "_frames",
        "_max_bytes",
        "_max_frames",
        "_next",
        "_waiting",
        "leg",
    )
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
        self._frames = Backlog()
        self._first = self._next = first_index
        self._bytes = 0
        self._ended = False
        self._waiting: set[Silence] = set()

    @property
    def next_index(self) -> int:
        """The index that the next frame will have."""
        return self._next

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
        return self._frames.last

    def begin_at(self, index: int) -> None:
        """An empty log begins there."""
        if self._first == self._next:
            self._first = self._next = index

    def reopen(self, *, leg: int) -> None:
        """More follows after all: the run goes on, in another leg."""
        self.leg = leg
        self._ended = False

    def append(self, frame: bytes) -> None:
        """Add a frame and wake the readers."""
        # Who waits for the next one has fetched the others.
        self._frames.append(frame, fetched=bool(self._waiting))
        self._next += 1
        self._bytes += len(frame)
        while self._next - self._first > 1 and (
            self._next - self._first > self._max_frames or self._bytes > self._max_bytes
        ):
            self._bytes -= len(self._frames.pop_oldest())
            self._first += 1
        if self._waiting:
            self._wake()

    def close(self) -> None:
        """No frame follows: readers end when they have read all."""
        self._ended = True
        self._wake()

    async def follow(
        self, *, after: int = -1, before: int | None = None, idle_seconds: float
    ) -> AsyncIterator[Piece]:
        """Frames with an index above ``after`` and below ``before``. See ``EventSource``."""
        at, silence = after + 1, Silence(idle_seconds)
        try:
            while before is None or at < before:
                first, end = self._first, self._next
                if first <= at == end - 1:
                    at = end
                    yield self._frames.last
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
                elif not await self._woken(silence):
                    yield None
        finally:
            silence.close()

    def _some(self, at: int, end: int) -> list[bytes]:
        """Frames from an index on, up to a size, and up to another index."""
        found, size = [], 0
        for frame in islice(self._frames.newest(self._next - at), end - at):
            found.append(frame)
            size += len(frame)
            if size >= _JOINED_BYTES:
                break
        return found

    async def _woken(self, silence: Silence) -> bool:
        self._waiting.add(silence)
        try:
            return await silence.broken()
        finally:
            self._waiting.discard(silence)

    def _wake(self) -> None:
        for silence in self._waiting:
            silence.end()
        self._waiting.clear()
