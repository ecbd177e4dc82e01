"""AuditSink: where events are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from licet.audit.event import AuditEvent


@runtime_checkable
class AuditSink(Protocol):
    """Keeps events, in their order. Used on one event loop, by one caller at a time."""

    async def start(self) -> None:
        """Get ready.

        Raises:
            Exception: it cannot keep anything at present.
        """

    async def write(self, events: Sequence[AuditEvent]) -> None:
        """Keep events. When this returns, they are kept.

        Raises:
            Exception: it is not known that they are. The same events come again until they are.
        """

    async def close(self) -> None:
        """Nothing more comes; it can be started again."""
