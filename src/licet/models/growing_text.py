"""GrowingText: a text that comes a word at a time, in little more room than it takes as one."""

from __future__ import annotations

_MAX_PIECES = 32


class GrowingText:
    """Pieces of a text. Kept as a list, a word takes the room of a line: every string has a head.

    So they are joined again and again, but none of them more than twice, however long it becomes.
    """

    __slots__ = ("_blocks", "_pieces")

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        """Put a piece at the end."""
        self._pieces.append(piece)
        if len(self._pieces) == _MAX_PIECES:
            self._blocks.append("".join(self._pieces))
            self._pieces.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._blocks.clear()
        self._pieces.clear()

    def __str__(self) -> str:
        return "".join((*self._blocks, *self._pieces))
