"""Firings: what is done when a schedule is due, from the question whether it may to its run's end.

Whatever process dies, and however often a firing is repeated, it has one run for each attempt: the
row of the attempt, whose id says of which time it is, names the run before that is begun.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from licet.agent.run_request import new_id
from licet.db.records import RunRecord
from licet.db.schedule_base import ScheduleStore
from licet.db.schedule_records import (
    ScheduleRecord,
    ScheduleRunRecord,
    ScheduleRunStatus,
)
from licet.errors import ConflictError, NotFoundError
from licet.runs.cron import CronEntry, Due
from licet.runs.patience import patiently
from licet.runs.schedule_outcome import as_its_run_stands, deadline_us, timed_out
from licet.runs.snapshot import Snapshot

logger = logging.getLogger(__name__)

# Names attempts: two processes give one attempt one id.
_ATTEMPTS = uuid.UUID("5b0e9d0c-7e35-4c3f-9a52-1d7b1cf0a6aa")
_FIRST_LOOK_SECONDS = 0.05
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a schedule does not fire.

    Attributes:
        reason: in words; holds nothing of a token.
        status: what a request for the run would be answered.
        lost: the authority is gone, and does not come back by itself.
    """

    reason: str
    status: int
    lost: bool = False


class ScheduledRuns(Protocol):
    """The runs that schedules begin, as the server has them."""

    async def refusal(self, schedule: ScheduleRecord, attempt: ScheduleRunRecord) -> Refusal | None:
        """Why the run may not be begun, asked anew and recorded; None: it may."""

    async def begin(self, schedule: ScheduleRecord, attempt: ScheduleRunRecord) -> Refusal | None:
        """Have the run of an attempt stored, under the schedule's authority. Again: nothing more.

        A refusal: it cannot be begun, and nothing was stored.
        """

    async def find(self, attempt: ScheduleRunRecord) -> RunRecord | None:
        """The run of an attempt; None: it was not begun, or was deleted."""

    async def cancel(self, run: RunRecord, reason: str) -> None:
        """Cancel a run, on whichever process it works.

        Raises:
            ConflictError: it has ended.
            NotFoundError: it was deleted.
        """


class Firings:
    """Fires schedules.

    Args:
        schedules: of everybody.
        runs: the runs that they begin.
        now: gives epoch seconds.
        pause: waits for some seconds.
    """

    def __init__(
        self,
        schedules: ScheduleStore,
        runs: ScheduledRuns,
        *,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._schedules = schedules
        self._runs = runs
        self._now = now
        self._pause = pause

    async def fire(self, due: Due) -> ScheduleRunRecord | None:
        """Fire a schedule, and follow its run to its end; again after failures, as it says.

        Answers the last attempt; None: it is not due any more.

        Raises:
            asyncio.CancelledError: it is left to whoever fires it again.
        """
        last, number = None, 0
        while True:
            number += 1
            schedule = await patiently(lambda: self._schedules.get(due.schedule_id))
            if schedule is None:
                return last
            attempt = await self._attempt(schedule, due, number)
            if attempt is None:
                return last
            last = attempt
            if number > schedule.max_retries or not _may_be_repeated(attempt):
                return last
            ended_us = attempt.completed_at_us or self._now_us()
            await self._until(ended_us + schedule.retry_delay_seconds * 1_000_000)

    async def _attempt(
        self, schedule: ScheduleRecord, due: Due, number: int
    ) -> ScheduleRunRecord | None:
        """One attempt, to its end; None: it is not to be made."""
        new = self._new_attempt(schedule, due, number)
        attempt = await patiently(lambda: self._schedules.get_run(schedule.id, new.id))
        if attempt is None:
            if not _is_due(schedule, due):
                return None
            attempt = await patiently(lambda: self._schedules.begin_run(new))
        if attempt is None or attempt.completed_at_us is not None:
            return attempt
        try:
            return await self._work_on(schedule, attempt)
        except Exception as error:
            # The text of an unforeseen exception may hold anything: it goes to the log alone.
            logger.exception("schedule %s could not be fired", schedule.id)
            name = type(error).__name__
            return await self._failed(attempt, f"Internal error ({name})")

    async def _work_on(
        self, schedule: ScheduleRecord, attempt: ScheduleRunRecord
    ) -> ScheduleRunRecord:
        if await patiently(lambda: self._runs.find(attempt)) is None:
            refusal = await patiently(
                lambda: self._runs.refusal(schedule, attempt)
            ) or await patiently(lambda: self._runs.begin(schedule, attempt))
            if refusal is not None:
                return await self._refused(schedule, attempt, refusal)
        return await self._follow(schedule, attempt)

    async def _refused(
        self, schedule: ScheduleRecord, attempt: ScheduleRunRecord, refusal: Refusal
    ) -> ScheduleRunRecord:
        logger.warning("schedule %s does not fire: %s", schedule.id, refusal.reason)
        if refusal.lost and schedule.enabled:
            disabled = replace(
                schedule,
                enabled=False,
                disabled_reason=refusal.reason,
                updated_at_us=max(schedule.updated_at_us + 1, self._now_us()),
            )
            # Changed meanwhile, its owner may have given it a new authority: it stays as it is.
            await patiently(
                lambda: self._schedules.save(disabled, read_at_us=schedule.updated_at_us)
            )
        nothing_begun = replace(attempt, run_id=None, session_id=None, status_code=refusal.status)
        return await self._failed(nothing_begun, refusal.reason)

    async def _follow(
        self, schedule: ScheduleRecord, attempt: ScheduleRunRecord
    ) -> ScheduleRunRecord:
        """Wait until the run has ended or paused; cancel it when its time is over."""
        seconds = schedule.timeout_seconds
        pause_seconds, asked = _FIRST_LOOK_SECONDS, False
        while True:
            run = await patiently(lambda: self._runs.find(attempt))
            if run is None:
                return await self._failed(attempt, "The run was deleted before it had ended")
            stands = as_its_run_stands(attempt, run, timeout_seconds=seconds)
            if stands.status is not ScheduleRunStatus.RUNNING:
                return await self._noted(stands)
            if not asked and self._now_us() >= deadline_us(attempt, seconds):
                await self._cancel(run, timed_out(seconds))
                asked, pause_seconds = True, _FIRST_LOOK_SECONDS
            await self._pause(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LOOK_SECONDS)

    async def _cancel(self, run: RunRecord, reason: str) -> None:
        with suppress(ConflictError, NotFoundError):
            await patiently(lambda: self._runs.cancel(run, reason))

    async def _failed(self, attempt: ScheduleRunRecord, error: str) -> ScheduleRunRecord:
        failed = ScheduleRunStatus.FAILED
        return await self._noted(
            replace(attempt, status=failed, error=error, completed_at_us=self._now_us())
        )

    async def _noted(self, attempt: ScheduleRunRecord) -> ScheduleRunRecord:
        await patiently(lambda: self._schedules.end_run(attempt))
        return attempt

    def _new_attempt(self, schedule: ScheduleRecord, due: Due, number: int) -> ScheduleRunRecord:
        return ScheduleRunRecord(
            id=str(uuid.uuid5(_ATTEMPTS, f"{due.key}#{number}")),
            schedule_id=schedule.id,
            owner=schedule.owner,
            agent_id=schedule.agent_id,
            attempt=number,
            run_id=new_id(),
            session_id=_session_of(schedule),
            triggered_at_us=due.planned_us,
            created_at_us=self._now_us(),
        )

    async def _until(self, time_us: int) -> None:
        await self._pause(max(0.0, (time_us - self._now_us()) / 1_000_000))

    def _now_us(self) -> int:
        return int(self._now() * 1_000_000)


def _is_due(schedule: ScheduleRecord, due: Due) -> bool:
    """Whether it is to be fired: the engine's clock may be behind what its owner has changed."""
    entry = CronEntry(
        schedule_id=schedule.id, cron_expr=schedule.cron_expr, timezone=schedule.timezone
    )
    return due.entry is None or (schedule.enabled and due.entry == entry)


def _session_of(schedule: ScheduleRecord) -> str:
    """As for a request: the session that is asked for, else the token's, else a new one."""
    snapshot = None if schedule.snapshot is None else Snapshot.from_json(schedule.snapshot)
    claimed = None if snapshot is None else snapshot.session_id
    return schedule.payload.get("session_id") or claimed or new_id()


def _may_be_repeated(attempt: ScheduleRunRecord) -> bool:
    """Whether a run failed. What was refused would be refused again."""
    return attempt.status is ScheduleRunStatus.FAILED and attempt.run_id is not None
