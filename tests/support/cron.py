"""The clock of an engine in memory: what is due is what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from licet.runs.cron import CronEntry, Due, Fire


class InMemoryCron:
    """``Cron`` without a clock. ``begun`` are the firings that it began."""

    def __init__(self) -> None:
        self.kept: dict[str, CronEntry] = {}
        self.fire: Fire | None = None
        self.begun: list[asyncio.Task[None]] = []
        self.failures: list[Exception] = []

    def attend(self, fire: Fire) -> None:
        self.fire = fire

    async def entries(self) -> Sequence[CronEntry]:
        if self.failures:
            raise self.failures.pop(0)
        return list(self.kept.values())

    async def put(self, entry: CronEntry) -> None:
        self.kept[entry.schedule_id] = entry

    async def remove(self, schedule_id: str) -> None:
        self.kept.pop(schedule_id, None)

    async def fire_now(self, due: Due) -> None:
        self.begin(due)

    def strike(self, planned_us: int) -> None:
        """All that has an entry is due now."""
        for entry in self.kept.values():
            self.begin(Due(schedule_id=entry.schedule_id, planned_us=planned_us, entry=entry))

    def begin(self, due: Due) -> asyncio.Task[None]:
        """Begin with a firing in this process."""

        async def work() -> None:
            assert self.fire is not None
            await self.fire(due)

        task = asyncio.create_task(work())
        self.begun.append(task)
        return task
