"""A real PostgreSQL, and a deadline for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.support.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

DEADLINE_SECONDS = 30.0


def wait_until(holds: Callable[[], bool], *, what: str) -> None:
    """Look again and again until a condition holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)
