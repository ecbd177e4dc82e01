"""EventSource: the events of one run, wherever they come from, for any number of readers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that are kept no longer: ``count`` of them, from the index ``first`` on."""

    first: int
    count: int


Piece: TypeAlias = bytes | Gap | None
"""One or more frames, joined; or a gap in their place; or nothing, after a silence."""


class EventSource(Protocol):
    """The events of one run, numbered from 0, as frames of server-sent events (``frames.py``).

    Once it has ended, its last event is the one that says how the run ended.
    """

    @property
    def first_index(self) -> int:
        """The index of the oldest event that is kept."""

    @property
    def next_index(self) -> int:
        """The index that the next event will have, as far as is known here."""

    @property
    def ended(self) -> bool:
        """Whether no event will follow."""

    @property
    def replayed(self) -> bool:
        """Whether these are made of what the run is stored as, and not those that it told.

        There are fewer of them then, and their indices are their own.
        """

    def follow(
        self, *, after: int = -1, before: int | None = None, idle_seconds: float
    ) -> AsyncIterator[Piece]:
        """Events with an index above ``after``, and below ``before`` if it is given.

        What a reader asks for, or has not fetched in time, and is kept no longer, is a ``Gap``; the
        rest follows. None whenever nothing came for ``idle_seconds``. Ends with the last event.
        """
