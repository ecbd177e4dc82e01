"""Moments as people write and read them, in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from licet.errors import InvalidInputError

LAST_EPOCH_SECOND = 253_402_300_799
"""The end of the year 9999: later dates are none to Python, and to no token that is taken."""

_EPOCH = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")


def parse_date(text: str, *, field: str) -> float:
    """Epoch seconds of a moment: ISO 8601 with its zone, or epoch seconds.

    Raises:
        InvalidInputError: it is of another form; ``field`` is named.
    """
    seconds = float(text) if _EPOCH.fullmatch(text) else _iso_seconds(text)
    if seconds is None or not 0 <= seconds <= LAST_EPOCH_SECOND:
        raise InvalidInputError(
            field, f"a time with its zone, such as 2026-01-31T18:00:00Z, not {text!r}"
        )
    return seconds


def show_date(epoch_us: int) -> str:
    """A stored time, to the second. ``epoch_us`` is epoch microseconds."""
    seconds = min(epoch_us // 1_000_000, LAST_EPOCH_SECOND)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _iso_seconds(text: str) -> float | None:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Without a zone it would be another moment on another machine.
    return None if date.tzinfo is None else date.timestamp()
