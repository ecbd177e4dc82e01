"""When to try again, and after how long: the rules of the official client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


def _random() -> float:
    from random import random

    return random()  # noqa: S311 - spreads retries; guards nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential delays with jitter, unless the server names a delay.

    The n-th delay is ``first_delay_seconds * 2 ** n``, at most ``max_delay_seconds``, less up to a
    quarter. A server that asks for more than ``max_server_delay_seconds`` is not asked again.
    ``sleep``, ``random`` (in [0, 1)) and ``now`` (epoch seconds) are there for tests.
    """

    first_delay_seconds: float = 0.5
    max_delay_seconds: float = 8.0
    max_server_delay_seconds: float = 60.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = _random
    now: Callable[[], float] = time.time

    def delay_seconds(self, retries_done: int, headers: Mapping[str, str]) -> float | None:
        """How long to wait before the next attempt. None: do not try again."""
        asked = self._asked_seconds(headers)
        if asked is not None and asked > self.max_server_delay_seconds:
            return None
        if asked is not None and asked > 0:
            return asked
        # The exponent is bounded so that no count of retries overflows a float.
        delay = self.first_delay_seconds * 2.0 ** min(retries_done, 64)
        return min(delay, self.max_delay_seconds) * (1 - self.random() / 4)

    def _asked_seconds(self, headers: Mapping[str, str]) -> float | None:
        """``retry-after-ms``, else ``Retry-After`` as seconds or as a date (RFC 9110 §10.2.3)."""
        for name, unit_seconds in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
            try:
                asked = float(headers[name]) * unit_seconds
            except (KeyError, ValueError):
                continue
            return asked if asked == asked else None  # noqa: PLR0124 - NaN is no delay
        if (text := headers.get("retry-after")) is None:
            return None
        from email.utils import parsedate_to_datetime

        try:
            return parsedate_to_datetime(text).timestamp() - self.now()
        except (ValueError, OverflowError):
            return None
