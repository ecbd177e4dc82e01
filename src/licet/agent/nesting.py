"""Nested JSON, walked without recursion: what strangers and models send is bounded in depth.

An encoder's recursion ends somewhere below a thousand levels, and the sooner the deeper the stack
that it is called on: what could be stored might be something that nobody can read again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MAX_JSON_DEPTH = 64


def deeper_than(value: Any, levels: int) -> bool:
    """Whether more than ``levels`` objects and lists stand one inside the other."""
    outer = _containers([value])
    for _ in range(levels):
        if not outer:
            return False
        # Each once: a value that holds itself twice would double with every level.
        inner = {id(c): c for container in outer for c in _containers(_inside(container))}
        outer = list(inner.values())
    return bool(outer)


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """The members of every object, on every level: name and value."""
    waiting = _containers([value])
    while waiting:
        container = waiting.pop()
        if isinstance(container, dict):
            yield from container.items()
        waiting.extend(_containers(_inside(container)))


def _inside(container: Any) -> Any:
    return container.values() if isinstance(container, dict) else container


def _containers(values: Any) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list)]
