r"""Halves of UTF-16 pairs: JSON can spell them alone (``\ud83d``), text cannot hold them.

A server that cuts its tokens by UTF-16 units sends the two halves of one character in two chunks.
"""

from __future__ import annotations

from typing import Any

_HIGH_FIRST, _HIGH_LAST = "\ud800", "\udbff"


def repair(text: str) -> str:
    """Join halves that stand side by side; U+FFFD for each that stands alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def repair_tree(value: Any) -> Any:
    """The same JSON value with every string repaired, member names too."""
    if isinstance(value, str):
        return repair(value)
    if isinstance(value, dict):
        return {repair_tree(name): repair_tree(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [repair_tree(item) for item in value]
    return value


class SurrogateJoiner:
    """Repairs a text that comes in pieces: a first half waits for the next piece."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """What of the text so far can be handed on; may be empty."""
        text = self._held + piece
        self._held = ""
        if text and _HIGH_FIRST <= text[-1] <= _HIGH_LAST:
            self._held = text[-1]
            text = text[:-1]
        return repair(text)

    def flush(self) -> str:
        """What is left when no more pieces come."""
        held, self._held = self._held, ""
        return repair(held)
