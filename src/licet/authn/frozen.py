"""JSON values that nobody can change: a principal that is remembered serves many requests."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

MAX_DEPTH = 32


class TooDeepError(ValueError):
    """The value is nested deeper than ``MAX_DEPTH`` levels."""


def frozen(value: Any, depth: int = 0) -> Any:
    """A copy in which nothing can be changed.

    Raises:
        TooDeepError: it is nested too deep.
    """
    if depth > MAX_DEPTH:
        raise TooDeepError
    if isinstance(value, dict):
        return MappingProxyType({name: frozen(v, depth + 1) for name, v in value.items()})
    if isinstance(value, list):
        return tuple(frozen(item, depth + 1) for item in value)
    return value


def thawed(value: Any) -> Any:
    """A copy of a frozen value that can be changed, and encoded as JSON."""
    if isinstance(value, Mapping):
        return {name: thawed(v) for name, v in value.items()}
    if isinstance(value, tuple):
        return [thawed(item) for item in value]
    return value
