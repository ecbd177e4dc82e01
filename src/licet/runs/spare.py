"""SpareEvents: of a run's events only the pieces of the answer, and how it ended."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

from licet.runs.event_source import EventSource, Gap, Piece

_KEPT = frozenset((b"RunContent", b"RunCompleted", b"RunError", b"RunCancelled", b"RunPaused"))
_ASKED_AGAIN = b"ModelRequestStarted"
_SUPERSEDES = b'"supersedes_from_index":'
_NAME = len(b"event: ")
_BETWEEN = b"\n\n"


def spare(frames: bytes) -> bytes:
    """Those of some joined frames that are kept, each as it is, with its index."""
    # No frame has an empty line inside: its JSON stands on one line.
    kept = [frame for frame in frames.split(_BETWEEN) if frame and _is_kept(frame)]
    return b"".join(frame + _BETWEEN for frame in kept)


def _is_kept(frame: bytes) -> bool:
    name = frame[_NAME : frame.index(b"\n")]
    # Else whoever adds the pieces up would have those twice that a process which died had told.
    return name in _KEPT or (name == _ASKED_AGAIN and _SUPERSEDES in frame)


class SpareEvents:
    """The events of another source without most of them. See ``EventSource``.

    What is left out has its index all the same: whoever comes back goes on where they were.

    Args:
        source: the events.
        clock: seconds that only go forward.
    """

    def __init__(self, source: EventSource, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock

    @property
    def first_index(self) -> int:
        """The index of the oldest event that is kept."""
        return self._source.first_index

    @property
    def next_index(self) -> int:
        """The index that the next event will have."""
        return self._source.next_index

    @property
    def ended(self) -> bool:
        """Whether no event will follow."""
        return self._source.ended

    @property
    def replayed(self) -> bool:
        """Whether these are made of what the run is stored as."""
        return self._source.replayed

    async def follow(
        self, *, after: int = -1, before: int | None = None, idle_seconds: float
    ) -> AsyncIterator[Piece]:
        """Events with an index above ``after`` and below ``before``. See ``EventSource``."""
        told_at = self._clock()
        async for piece in self._source.follow(
            after=after, before=before, idle_seconds=idle_seconds
        ):
            said = piece if piece is None or isinstance(piece, Gap) else spare(piece)
            # What is left out is silence, too.
            if said or piece is None or self._clock() - told_at >= idle_seconds:
                told_at = self._clock()
                yield said or None
