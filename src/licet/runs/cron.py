"""Cron: what Licet asks of the engine's clock.

The engine has an entry for each schedule that has times, and calls ``Fire`` once for each of them,
in one process of all that serve. A firing is kept like a run: when its process dies, another one
does it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class CronEntry:
    """When a schedule is due: its id, a cron expression, and an IANA time zone."""

    schedule_id: str
    cron_expr: str
    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A schedule that is due.

    Attributes:
        schedule_id: which.
        planned_us: since when, epoch microseconds.
        entry: the entry by which it is; None: somebody has asked for it.
        asked_id: names what was asked; None: it is due by the clock.
    """

    schedule_id: str
    planned_us: int
    entry: CronEntry | None = None
    asked_id: str | None = None

    @property
    def key(self) -> str:
        """Names this firing: the same in each repetition of it, and of no other."""
        return self.asked_id or f"{self.schedule_id}@{self.planned_us}"


class Fire(Protocol):
    """What is done when a schedule is due."""

    async def __call__(self, due: Due) -> None:
        """Do it, to its end.

        Raises:
            asyncio.CancelledError: it is left to whoever does it again.
        """


class Cron(Protocol):
    """The engine's clock. All but ``attend`` needs an engine that was launched."""

    def attend(self, fire: Fire) -> None:
        """Have this done for what is due; to be said before the engine is launched."""

    async def entries(self) -> Sequence[CronEntry]:
        """All entries."""

    async def put(self, entry: CronEntry) -> None:
        """Add an entry, or change that of its schedule."""

    async def remove(self, schedule_id: str) -> None:
        """Remove the entry of a schedule, if there is one."""

    async def fire_now(self, due: Due) -> None:
        """Begin at once, in this process, with what somebody has asked for."""
