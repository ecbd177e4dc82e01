"""Schedules that fire over a database in memory, and what is written down of each firing."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from licet.agent.output import RunInput, RunOutput
from licet.db.base import Access, Db
from licet.db.records import RunRecord, RunStatus, Saving, SessionKey, SessionRecord
from licet.db.run_states import ENDED
from licet.db.schedule_base import ScheduleStore
from licet.db.schedule_records import ScheduleRecord, ScheduleRunRecord
from licet.db.work_records import JobRecord, Once, QueueLimits, RepeatedRequestError
from licet.errors import ConflictError
from licet.runs.firing import Refusal
from tests.contract.rows import ADMIN
from tests.support.engine import Process


@dataclass
class Clock:
    """A time that passes when somebody waits."""

    seconds: float = 1000.0
    waited: list[float] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def now(self) -> float:
        """Epoch seconds."""
        return self.seconds

    async def pause(self, seconds: float) -> None:
        """Let them pass."""
        self.waited.append(seconds)
        self.seconds += seconds
        self.meanwhile()


@dataclass
class Ledger:
    """What is decided about firings and what becomes of their runs, whichever process fires.

    ``refusals`` are given to owners; ``ends`` is how runs end, the first one first, the last one
    all that follow; None: they do not end by themselves.
    """

    db: Db
    refusals: dict[str, Refusal] = field(default_factory=dict)
    impossible: list[Refusal | Exception] = field(default_factory=list)
    ends: list[RunStatus | None] = field(default_factory=lambda: [RunStatus.COMPLETED])
    decided: list[tuple[str, str]] = field(default_factory=list)
    stored: list[ScheduleRunRecord] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    unlawful: list[str] = field(default_factory=list)

    def decide(self, schedule: ScheduleRecord, attempt: ScheduleRunRecord) -> Refusal | None:
        """What is decided now, written down."""
        refusal = self.refusals.get(schedule.owner)
        self.decided.append((attempt.id, "allow" if refusal is None else "deny"))
        return refusal


class LedgerRuns:
    """``ScheduledRuns`` of one process, which can die at each write."""

    def __init__(
        self,
        ledger: Ledger,
        process: Process | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._process = process or Process()
        self._now = now

    async def refusal(self, schedule: ScheduleRecord, attempt: ScheduleRunRecord) -> Refusal | None:
        async def decide() -> Refusal | None:
            return self._ledger.decide(schedule, attempt)

        return await self._process.write(decide)

    async def begin(self, schedule: ScheduleRecord, attempt: ScheduleRunRecord) -> Refusal | None:
        if self._ledger.impossible:
            found = self._ledger.impossible.pop(0)
            if isinstance(found, Exception):
                raise found
            return found
        return await self._process.write(lambda: self._store(schedule, attempt))

    async def _store(self, schedule: ScheduleRecord, attempt: ScheduleRunRecord) -> None:
        if attempt.run_id is None or attempt.session_id is None:
            self._ledger.unlawful.append(attempt.id)
            return
        session, run = self._rows(attempt, attempt.run_id, attempt.session_id)
        job = JobRecord(
            run_id=run.run_id,
            principal_key=run.owner,
            request=b"{}",
            snapshot=schedule.snapshot,
            created_at_us=run.created_at_us,
        )
        once = Once(owner=run.owner, route="s", key=attempt.id, digest="d", created_at_us=1)
        with suppress(RepeatedRequestError):
            await self._ledger.db.store(Access(run.owner)).enqueue_run(
                session, run, job, limits=QueueLimits(), once=once
            )
            self._ledger.stored.append(attempt)
            if run.owner in self._ledger.refusals:
                self._ledger.unlawful.append(run.run_id)
            await self._end(run)

    def _rows(
        self, attempt: ScheduleRunRecord, run_id: str, session_id: str
    ) -> tuple[SessionRecord, RunRecord]:
        at = int(self._now() * 1_000_000)
        output = RunOutput(
            run_id=run_id,
            session_id=session_id,
            agent_id=attempt.agent_id,
            agent_name=attempt.agent_id,
            status=RunStatus.PENDING,
            created_at=at // 1_000_000,
            input=RunInput("hi"),
            content="it went wrong",
        )
        times: dict[str, Any] = {"created_at_us": at, "updated_at_us": at}
        session = SessionRecord(owner=attempt.owner, session_id=session_id, **times)
        run = RunRecord(
            owner=attempt.owner,
            session_id=session_id,
            run_id=run_id,
            component_id=attempt.agent_id,
            status=RunStatus.PENDING,
            durable=True,
            body=output.to_json(),
            **times,
        )
        return session, run

    async def _end(self, run: RunRecord) -> None:
        ends = self._ledger.ends
        status = ends.pop(0) if len(ends) > 1 else ends[0]
        if status is not None:
            await self._reach(run, status)

    async def _reach(self, run: RunRecord, status: RunStatus) -> None:
        store = self._ledger.db.store(ADMIN)
        if status in {RunStatus.COMPLETED, RunStatus.PAUSED}:
            run = replace(run, status=RunStatus.RUNNING)
            assert await store.work_on_run(run, history_runs=0) is not None
        reached = replace(run, status=status, updated_at_us=int(self._now() * 1_000_000))
        assert await store.save_run(reached, session_state=None) is Saving.SAVED

    async def find(self, attempt: ScheduleRunRecord) -> RunRecord | None:
        if attempt.run_id is None or attempt.session_id is None:
            return None
        key = SessionKey(attempt.owner, attempt.session_id)
        return await self._ledger.db.store(ADMIN).get_run(key, attempt.run_id)

    async def cancel(self, run: RunRecord, reason: str) -> None:
        if run.status in ENDED:
            raise ConflictError("it has ended")
        self._ledger.cancelled.append(reason)
        await self._reach(run, RunStatus.CANCELLED)


class MortalSchedules:
    """The schedules as a process sees them: once it has died, it writes nothing more."""

    _WRITES = frozenset(("begin_run", "end_run", "save"))

    def __init__(self, store: ScheduleStore, process: Process) -> None:
        self._store = store
        self._process = process

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in self._WRITES:
            return method

        async def write(*args: Any, **kwargs: Any) -> Any:
            return await self._process.write(lambda: method(*args, **kwargs))

        return write
