"""The store of the run engine in the SQL databases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from licet.db import work_writes
from licet.db.access import THE_SERVER
from licet.db.backend import Backend
from licet.db.claim_write import claim
from licet.db.codec import run_record, storable
from licet.db.records import RunRecord
from licet.db.sql_store import SqlWork
from licet.db.work_base import WorkStore
from licet.db.work_codec import executor_record, job_record
from licet.db.work_records import (
    ClaimedRun,
    ExecutorEnd,
    ExecutorRecord,
    JobRecord,
    QueueLimits,
)
from licet.db.writes import Write

if TYPE_CHECKING:
    from sqlalchemy import Select

T = TypeVar("T")


def sql_work(db: SqlWork, backend: Backend) -> WorkStore:
    """Who works on the runs of a SQL database. ``backend`` says how its SQL passes over locks."""
    return _SqlWorkStore(db, backend)


@dataclass(frozen=True, slots=True)
class _SqlWorkStore(WorkStore):
    db: SqlWork
    backend: Backend

    async def register_executor(self, executor: ExecutorRecord) -> None:
        await self._write(work_writes.register_executor(executor))

    async def beat(self, executor_id: str) -> bool:
        return storable(executor_id) and await self._write(work_writes.beat(executor_id))

    async def executors(self) -> Sequence[ExecutorRecord]:
        from licet.db import work_reads

        return await self._all(work_reads.unsettled_executors(), executor_record)

    async def end_executor(self, executor_id: str, *, end: ExecutorEnd, beats: int | None) -> bool:
        if not storable(executor_id):
            return False
        return await self._write(work_writes.end_executor(executor_id, end=end, beats=beats))

    async def settle_executor(self, executor_id: str) -> None:
        if storable(executor_id):
            await self._write(work_writes.settle_executor(executor_id))

    async def foreground_runs_of(self, executor_id: str | None) -> Sequence[RunRecord]:
        return await self._running(executor_id, durable=False)

    async def durable_runs_of(self, executor_id: str) -> Sequence[RunRecord]:
        return await self._running(executor_id, durable=True)

    async def cancels_asked(self, executor_id: str) -> Sequence[str]:
        if not storable(executor_id):
            return []
        from licet.db import work_reads

        return await self._all(work_reads.runs_to_cancel(executor_id), lambda row: str(row[0]))

    async def claim(
        self,
        executor_id: str,
        *,
        agent_ids: Collection[str],
        unserved_before_us: int,
        limits: QueueLimits,
        now_us: int,
    ) -> ClaimedRun | None:
        return await self._write(
            claim(
                executor_id,
                agent_ids=agent_ids,
                unserved_before_us=unserved_before_us,
                limits=limits,
                now_us=now_us,
                passing_locked=self.backend.passing_locked,
            )
        )

    async def adopt(self, run_id: str, *, old_executor_id: str | None, executor_id: str) -> bool:
        write = work_writes.adopt(run_id, old_executor_id=old_executor_id, executor_id=executor_id)
        return storable(run_id, old_executor_id) and await self._write(write)

    async def put_back(self, run_id: str, *, executor_id: str) -> bool:
        if not storable(run_id, executor_id):
            return False
        return await self._write(work_writes.put_back(run_id, executor_id=executor_id))

    async def job(self, run_id: str) -> JobRecord | None:
        if not storable(run_id):
            return None
        from licet.db import work_reads

        found = await self._all(work_reads.one_job(run_id), job_record)
        return found[0] if found else None

    async def waiting(self) -> int:
        from licet.db import work_reads

        (count,) = await self._all(work_reads.waiting_count(), lambda row: int(row[0]))
        return count

    async def raise_work(self) -> None:
        await self._write(work_writes.raise_work())

    async def forget_before(self, before_us: int) -> int:
        return await self._write(work_writes.forget_before(before_us))

    async def _running(self, executor_id: str | None, *, durable: bool) -> Sequence[RunRecord]:
        if not storable(executor_id):
            return []
        from licet.db import work_reads

        return await self._all(work_reads.running_runs(executor_id, durable=durable), run_record)

    async def _write(self, write: Write[T]) -> T:
        return await self.db.write(write, access=THE_SERVER)

    async def _all(
        self, statement: Select[Any], record_of: Callable[[Sequence[Any]], T]
    ) -> list[T]:
        """Records are made where they are read: many bodies do not hold up the caller."""
        return await self.db.read(
            lambda connection: [record_of(row) for row in connection.execute(statement)],
            access=THE_SERVER,
        )
