"""Spans of time as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from licet.errors import InvalidInputError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_NAMES = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_FORM = re.compile(r"(?:[0-9]{1,9}[smhdw])+")
_PART = re.compile(r"([0-9]+)([smhdw])")
_MAX_SECONDS = 10 * 366 * 86_400


def parse_duration(text: str, *, field: str) -> int:
    """Seconds of a span such as ``90s``, ``1h30m`` or ``7d``: more than none, ten years at most.

    Raises:
        InvalidInputError: it is of another form; ``field`` is named.
    """
    if _FORM.fullmatch(text) is None:
        raise InvalidInputError(field, f"a span such as 90s, 15m, 1h30m or 7d, not {text!r}")
    seconds = sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(text))
    if not 0 < seconds <= _MAX_SECONDS:
        raise InvalidInputError(field, f"more than nothing and at most ten years, not {text!r}")
    return seconds


def describe_seconds(seconds: float) -> str:
    """A span in its largest whole unit: ``3 minutes``."""
    for name, size in _NAMES:
        count = int(seconds // size)
        if count:
            return f"{count} {name}" if count == 1 else f"{count} {name}s"
    return "less than a second"


def describe_date(claim: str, value: float, *, now: float) -> str:
    """A date of a token, in UTC and seen from ``now``: ``…, expired 3 minutes ago``.

    Args:
        claim: ``exp``, ``nbf`` or ``iat`` (RFC 7519 §4.1).
        value: epoch seconds.
        now: epoch seconds.
    """
    past, future = {"exp": ("expired", "expires"), "nbf": ("valid since", "valid")}.get(
        claim, ("issued", "issued")
    )
    try:
        date = datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{value} is no date"
    distance = describe_seconds(abs(now - value))
    if value > now:
        return f"{date}, {future} in {distance}"
    return f"{date}, {past} {distance} ago"
