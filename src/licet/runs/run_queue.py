"""RunQueue: how many durable runs may work at once, and how many may wait for their turn."""

from __future__ import annotations

from dataclasses import dataclass

from licet.db.work_records import QueueLimits
from licet.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQueue:
    """The limits of durable runs. None: no limit.

    Args:
        per_process: working in one process.
        per_principal: working, of one principal, in all processes.
        overall: working in all processes.
        waiting: that wait; one more is answered 429.

    Raises:
        ConfigurationError: a limit is below 1.
    """

    per_process: int = 32
    per_principal: int | None = None
    overall: int | None = None
    waiting: int | None = 10_000

    def __post_init__(self) -> None:
        for name in ("per_process", "per_principal", "overall", "waiting"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"RunQueue: {name} is at least 1")

    @property
    def limits(self) -> QueueLimits:
        """Those that hold over all processes."""
        return QueueLimits(
            per_principal=self.per_principal, overall=self.overall, waiting=self.waiting
        )
