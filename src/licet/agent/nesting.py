"""How deep JSON is nested: what strangers and models send is bounded before it is stored.

An encoder's recursion ends somewhere below a thousand levels, and the sooner the deeper the stack
that it is called on: what could be stored might be something that nobody can read again.
"""

from __future__ import annotations

from typing import Any

MAX_JSON_DEPTH = 64


def deeper_than(value: Any, levels: int) -> bool:
    """Whether more than ``levels`` objects and lists stand one inside the other."""
    # Level by level and without recursion: depth is what is being asked.
    outer = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        if not outer:
            return False
        outer = [
            inner
            for container in outer
            for inner in (container.values() if isinstance(container, dict) else container)
            if isinstance(inner, dict | list)
        ]
    return bool(outer)
