"""The store of the run engine in InMemoryDb."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from licet.db.in_memory_rows import InMemoryRows, in_order
from licet.db.in_memory_topics import InMemoryTopics
from licet.db.records import RunRecord, RunStatus
from licet.db.work_base import WorkStore
from licet.db.work_codec import check_executor_id, check_time, executor_row
from licet.db.work_records import (
    WORK_TOPIC,
    ClaimedRun,
    ExecutorEnd,
    ExecutorRecord,
    JobRecord,
    QueueLimits,
)

_MAX_RUNS = 1000


def in_memory_work(rows: InMemoryRows, topics: InMemoryTopics) -> WorkStore:
    """Who works on the runs of this process."""
    return _InMemoryWorkStore(rows, topics)


@dataclass(frozen=True, slots=True)
class _InMemoryWorkStore(WorkStore):
    rows: InMemoryRows
    topics: InMemoryTopics

    async def register_executor(self, executor: ExecutorRecord) -> None:
        executor_row(executor)
        with self.rows.lock:
            known = self.rows.executors.get(executor.id)
            beats = executor.beats if known is None else known.beats + 1
            living = replace(executor, beats=beats, ended=None, settled=False)
            self.rows.executors[executor.id] = living

    async def beat(self, executor_id: str) -> bool:
        with self.rows.lock:
            known = self.rows.executors.get(executor_id)
            if known is None or known.ended is not None:
                return False
            self.rows.executors[executor_id] = replace(known, beats=known.beats + 1)
            return True

    async def executors(self) -> Sequence[ExecutorRecord]:
        with self.rows.lock:
            kept = [e for e in self.rows.executors.values() if not e.settled]
        return sorted(kept, key=lambda executor: (executor.started_at_us, executor.id))

    async def end_executor(self, executor_id: str, *, end: ExecutorEnd, beats: int | None) -> bool:
        with self.rows.lock:
            known = self.rows.executors.get(executor_id)
            if known is None or known.ended is not None or beats not in (None, known.beats):
                return False
            self.rows.executors[executor_id] = replace(known, ended=end)
        await self.raise_work()
        return True

    async def settle_executor(self, executor_id: str) -> None:
        with self.rows.lock:
            known = self.rows.executors.get(executor_id)
            if known is not None and known.ended is not None:
                self.rows.executors[executor_id] = replace(known, settled=True)

    async def foreground_runs_of(self, executor_id: str | None) -> Sequence[RunRecord]:
        return self._running(executor_id, durable=False)

    async def durable_runs_of(self, executor_id: str) -> Sequence[RunRecord]:
        return self._running(executor_id, durable=True)

    async def cancels_asked(self, executor_id: str) -> Sequence[str]:
        with self.rows.lock:
            running = [
                *self.rows.in_state(RunStatus.RUNNING, durable=False),
                *self.rows.in_state(RunStatus.RUNNING, durable=True),
            ]
            return [
                run.run_id
                for run in in_order(running)
                if run.executor_id == executor_id and run.run_id in self.rows.cancels_asked
            ]

    async def claim(
        self,
        executor_id: str,
        *,
        agent_ids: Collection[str],
        unserved_before_us: int,
        limits: QueueLimits,
        now_us: int,
    ) -> ClaimedRun | None:
        check_executor_id(executor_id)
        check_time(now_us)

        def is_ours(run: RunRecord) -> bool:
            return run.component_id in agent_ids or run.updated_at_us < unserved_before_us

        with self.rows.lock:
            run = self._next(is_ours, limits)
            if run is None:
                return None
            claimed = replace(
                run, status=RunStatus.RUNNING, executor_id=executor_id, updated_at_us=now_us
            )
            self.rows.put_run(claimed)
            return ClaimedRun(run=claimed, job=self.rows.jobs[run.run_id])

    async def adopt(self, run_id: str, *, old_executor_id: str | None, executor_id: str) -> bool:
        check_executor_id(executor_id)
        with self.rows.lock:
            run = self._durable(run_id)
            if run is None or old_executor_id not in (None, run.executor_id):
                return False
            self.rows.put_run(replace(run, executor_id=executor_id))
            return True

    async def put_back(self, run_id: str, *, executor_id: str) -> bool:
        with self.rows.lock:
            run = self._durable(run_id)
            if run is None or run.executor_id != executor_id or run_id not in self.rows.jobs:
                return False
            self.rows.put_run(replace(run, status=RunStatus.PENDING, executor_id=None))
            return True

    async def job(self, run_id: str) -> JobRecord | None:
        with self.rows.lock:
            return self.rows.jobs.get(run_id)

    async def waiting(self) -> int:
        with self.rows.lock:
            return len(self.rows.in_state(RunStatus.PENDING, durable=True))

    async def raise_work(self) -> None:
        self.topics.raised(WORK_TOPIC)

    async def forget_before(self, before_us: int) -> int:
        with self.rows.lock:
            asked = [k for k, (o, _) in self.rows.once.items() if o.created_at_us < before_us]
            for key in asked:
                _, run_id = self.rows.once.pop(key)
                del self.rows.once_of[run_id]
            known = self.rows.executors.values()
            settled = [e.id for e in known if e.settled and e.started_at_us < before_us]
            for executor_id in settled:
                del self.rows.executors[executor_id]
        return len(asked) + len(settled)

    def _running(self, executor_id: str | None, *, durable: bool) -> list[RunRecord]:
        with self.rows.lock:
            running = self.rows.in_state(RunStatus.RUNNING, durable=durable)
        return [run for run in running if run.executor_id == executor_id][:_MAX_RUNS]

    def _durable(self, run_id: str) -> RunRecord | None:
        run = self.rows.runs.get(run_id)
        at_work = run is not None and run.durable and run.status is RunStatus.RUNNING
        return run if at_work else None

    def _next(self, is_ours: Callable[[RunRecord], bool], limits: QueueLimits) -> RunRecord | None:
        running = self.rows.in_state(RunStatus.RUNNING, durable=True)
        if not _within(len(running), limits.overall):
            return None
        busy = {run.session_key for run in running}
        jobs = [self.rows.jobs[run.run_id] for run in running if run.run_id in self.rows.jobs]
        at_work = Counter(job.principal_key for job in jobs)
        for run in self.rows.in_state(RunStatus.PENDING, durable=True):
            principal = self.rows.jobs[run.run_id].principal_key
            is_free = run.session_key not in busy
            if is_free and is_ours(run) and _within(at_work[principal], limits.per_principal):
                return run
            # What waits behind it in its session waits, too.
            busy.add(run.session_key)
        return None


def _within(count: int, limit: int | None) -> bool:
    return limit is None or count < limit
