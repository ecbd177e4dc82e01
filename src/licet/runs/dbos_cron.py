"""DbosCron: the schedules of DBOS as the engine's clock.

The library has a thread for each entry in each process. Of those that wake for one time, the first
puts a workflow into the library's queue, whose id holds the time; the others find it there.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from licet.runs.cron import CronEntry, Due, Fire
from licet.runs.dbos_process import PROCESS, outside_of_a_run

FIRING: str = "licet_firing"
"""The name of the workflow of a firing."""

# How often one is tried that takes its process down each time.
_MAX_RECOVERIES = 10


class _Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a firing beside its time."""

    schedule_id: str
    cron_expr: str | None = None
    timezone: str | None = None
    asked_id: str | None = None


class DbosCron:
    """The schedules of the library, which has been launched."""

    def __init__(self) -> None:
        self.fire: Fire | None = None

    def attend(self, fire: Fire) -> None:
        """Have this done for what is due."""
        self.fire = fire

    async def entries(self) -> Sequence[CronEntry]:
        """All entries."""
        from dbos import DBOS

        return [
            CronEntry(
                schedule_id=each["schedule_name"],
                cron_expr=each["schedule"],
                timezone=each["cron_timezone"] or "UTC",
            )
            for each in await DBOS.list_schedules_async()
        ]

    async def put(self, entry: CronEntry) -> None:
        """Add an entry, or change that of its schedule."""
        from dbos import DBOS

        context = _Context(
            schedule_id=entry.schedule_id, cron_expr=entry.cron_expr, timezone=entry.timezone
        )
        await DBOS.apply_schedules_async(
            [
                {
                    "schedule_name": entry.schedule_id,
                    "workflow_fn": firing_workflow(),
                    "schedule": entry.cron_expr,
                    "cron_timezone": entry.timezone,
                    "context": msgspec.to_builtins(context),
                }
            ]
        )

    async def remove(self, schedule_id: str) -> None:
        """Remove the entry of a schedule, if there is one."""
        from dbos import DBOS

        await DBOS.delete_schedule_async(schedule_id)

    async def fire_now(self, due: Due) -> None:
        """Begin at once, in this process, with what somebody has asked for."""
        from dbos import DBOS, SetWorkflowID

        context = _Context(schedule_id=due.schedule_id, asked_id=due.asked_id)
        planned = datetime.fromtimestamp(due.planned_us / 1_000_000, UTC).isoformat()
        with SetWorkflowID(due.key):
            await DBOS.start_workflow_async(
                firing_workflow(), planned, msgspec.to_builtins(context)
            )


@functools.cache
def firing_workflow() -> Callable[[Any, Any], Coroutine[Any, Any, None]]:
    """The workflow of a firing, registered with the library before that is launched."""
    from dbos import DBOS

    @DBOS.workflow(name=FIRING, max_recovery_attempts=_MAX_RECOVERIES)
    async def licet_firing(planned: Any, context: Any) -> None:
        holder = PROCESS.holder
        fire = None if holder is None else holder.fire
        if fire is None:
            # The process is closing, or serves no schedules: another one does it.
            raise asyncio.CancelledError
        await outside_of_a_run(fire(_due(planned, context)))

    return licet_firing


def _due(planned: Any, context: Any) -> Due:
    kept = msgspec.convert(context, _Context)
    time = planned if isinstance(planned, datetime) else datetime.fromisoformat(planned)
    entry = None
    if kept.cron_expr is not None and kept.timezone is not None:
        entry = CronEntry(
            schedule_id=kept.schedule_id, cron_expr=kept.cron_expr, timezone=kept.timezone
        )
    return Due(
        schedule_id=kept.schedule_id,
        planned_us=round(time.timestamp() * 1_000_000),
        entry=entry,
        asked_id=kept.asked_id,
    )
