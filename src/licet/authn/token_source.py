"""TokenSource: where in a request a token may stand."""

from __future__ import annotations

from enum import StrEnum


class TokenSource(StrEnum):
    """Where a token may stand. Service accounts' tokens come in the header only."""

    HEADER = "header"
    COOKIE = "cookie"
    BOTH = "both"
