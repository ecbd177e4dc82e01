"""LogSink: events as lines of Python's logging."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from licet.audit.event import AuditEvent

logger = logging.getLogger("licet.audit.events")


class LogSink:
    """Logs each event as one line of JSON, to the logger ``licet.audit.events``.

    Args:
        level: of the lines.
    """

    def __init__(self, *, level: int = logging.INFO) -> None:
        self._level = level

    async def start(self) -> None:
        """Nothing has to be opened."""

    async def write(self, events: Sequence[AuditEvent]) -> None:
        """A line for each."""
        for event in events:
            logger.log(self._level, "%s", msgspec.json.encode(event).decode())

    async def close(self) -> None:
        """Nothing is open."""
