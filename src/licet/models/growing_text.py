"""GrowingText: a text that comes a word at a time, in little more room than it takes as one."""

from __future__ import annotations

from collections.abc import Callable

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

    def __bool__(self) -> bool:
        return bool(self._pieces or self._blocks)

    def __str__(self) -> str:
        return "".join((*self._blocks, *self._pieces))


class ToldText(GrowingText):
    """A text of which somebody is told each piece; to be handed over where pieces are told.

    Whoever is handed one need keep no second copy: it is what it was told.
    """

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[str], object]) -> None:
        super().__init__()
        self._tell = tell

    def __call__(self, piece: str) -> None:
        """Put a piece at the end, and tell it."""
        self.add(piece)
        self._tell(piece)
