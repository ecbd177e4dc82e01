"""The store of the SQL databases. Here the access is asked; the statements carry the owner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from licet.db import run_writes, work_writes, writes
from licet.db.access import (
    may_exist,
    require_first_state,
    require_going_on,
    require_own_request,
    require_paused,
    require_queueable,
    require_reach,
    require_same_session,
    require_working,
)
from licet.db.approval_records import ApprovalRecord
from licet.db.base import Access, SessionChanges, Store
from licet.db.codec import run_head, run_record, session_record, storable
from licet.db.records import (
    BegunRun,
    RecentRuns,
    RunHead,
    RunQuery,
    RunRecord,
    Saving,
    SessionKey,
    SessionPage,
    SessionQuery,
    SessionRecord,
)
from licet.db.work_codec import check_time
from licet.db.work_records import JobRecord, Once, QueueLimits

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.engine import Connection, Row


T = TypeVar("T")


class SqlWork(Protocol):
    """What a store asks of its database."""

    async def write(
        self,
        write: writes.Write[T],
        *,
        access: Access | None = None,
        beside: writes.Write[None] | None = None,
    ) -> T:
        """Commit a write. Without an access it may reach no session and no run.

        ``beside`` is the server's own, which reaches everything: both are committed, or neither.
        """

    async def read(self, query: Callable[[Connection], T], *, access: Access | None = None) -> T:
        """Answer a query. Without an access it may reach no session and no run."""


def sql_store(db: SqlWork, access: Access) -> Store:
    """Rows of a SQL database as one access sees them."""
    return _SqlStore(db, access)


@dataclass(frozen=True, slots=True)
class _SqlStore(Store):
    db: SqlWork
    access: Access

    async def begin_run(
        self,
        session: SessionRecord,
        run: RunRecord,
        *,
        history_runs: int,
        once: Once | None = None,
    ) -> BegunRun:
        self._require(session, run, once)
        require_first_state(run)
        return await self._write(
            run_writes.begin_run(session, run, history_runs=history_runs, once=once)
        )

    async def enqueue_run(
        self,
        session: SessionRecord,
        run: RunRecord,
        job: JobRecord,
        *,
        limits: QueueLimits,
        once: Once | None = None,
    ) -> None:
        self._require(session, run, once)
        require_queueable(run, job)
        write = run_writes.enqueue_run(session, run, job, once=once)
        # An owner does not see how many runs wait: that is for the server to count.
        room = None if limits.waiting is None else work_writes.check_room(limits.waiting)
        await self.db.write(write, access=self.access, beside=room)

    async def work_on_run(self, run: RunRecord, *, history_runs: int) -> BegunRun | None:
        if not self._may_be(run.session_key, run.run_id):
            return None
        require_working(run)
        return await self._write(run_writes.work_on_run(run, history_runs=history_runs))

    async def save_run(self, run: RunRecord, *, session_state: dict[str, Any] | None) -> Saving:
        if not self._may_be(run.session_key, run.run_id):
            return Saving.ABSENT
        if await self._write(run_writes.save_run(run, session_state=session_state)):
            return Saving.SAVED
        return await self._refused(run)

    async def pause_run(
        self,
        run: RunRecord,
        *,
        session_state: dict[str, Any] | None,
        job: JobRecord | None,
        approvals: Sequence[ApprovalRecord],
    ) -> Saving:
        if not self._may_be(run.session_key, run.run_id):
            return Saving.ABSENT
        require_paused(run, job, approvals)
        write = run_writes.pause_run(run, session_state=session_state, job=job, approvals=approvals)
        try:
            await self._write(write)
        except run_writes.NotPausedError:
            return await self._refused(run)
        return Saving.SAVED

    async def continue_run(
        self, run: RunRecord, *, paused_at_us: int, history_runs: int
    ) -> BegunRun | None:
        if not self._may_be(run.session_key, run.run_id):
            return None
        require_going_on(run)
        return await self._write(
            run_writes.continue_run(run, paused_at_us=paused_at_us, history_runs=history_runs)
        )

    async def ask_to_cancel(self, key: SessionKey, run_id: str, *, now_us: int) -> bool:
        if not self._may_be(key, run_id):
            return False
        check_time(now_us)
        if not await self._write(run_writes.ask_to_cancel(key, run_id, now_us=now_us)):
            return False
        # By itself: who holds the row of the topic waits for no run.
        await self.db.write(work_writes.raise_work())
        return True

    async def find_run(self, run_id: str) -> RunRecord | None:
        if not storable(run_id, self.access.owner):
            return None
        from licet.db import reads

        rows = await self._rows(reads.run_called(run_id, self.access))
        return run_record(rows[0]) if rows else None

    async def get_run(self, key: SessionKey, run_id: str) -> RunRecord | None:
        if not self._may_be(key, run_id):
            return None
        from licet.db import reads

        rows = await self._rows(reads.one_run(key, run_id))
        return run_record(rows[0]) if rows else None

    async def list_runs(self, key: SessionKey, query: RunQuery) -> Sequence[RunRecord]:
        if not (may_exist(self.access, key) and storable(query.component_id)):
            return ()
        from licet.db import reads

        return [run_record(row) for row in await self._rows(reads.runs_of(key, query))]

    async def recent_runs(self, query: RecentRuns) -> Sequence[RunHead]:
        named = (query.component_id, query.session_id, query.user_id)
        if not storable(self.access.owner, *named):
            return ()
        from licet.db import reads

        return [run_head(row) for row in await self._rows(reads.recent_runs(query, self.access))]

    async def create_session(self, session: SessionRecord) -> bool:
        require_reach(self.access, session)
        return await self._write(writes.create_session(session))

    async def find_sessions(self, session_id: str) -> Sequence[SessionRecord]:
        if not storable(session_id):
            return ()
        from licet.db import reads

        rows = await self._rows(reads.sessions_called(session_id, self.access))
        return [session_record(row) for row in rows]

    async def list_sessions(self, query: SessionQuery) -> SessionPage:
        filters = (query.session_type, query.component_id, query.user_id, query.session_name)
        if not storable(*filters):
            return SessionPage(sessions=(), total_count=0)
        from licet.db import reads

        count = reads.session_count(query, self.access)
        page = reads.session_page(query, self.access)

        def both(connection: Connection) -> tuple[int, Sequence[Row[Any]]]:
            return connection.execute(count).scalar_one(), connection.execute(page).all()

        total, rows = await self.db.read(both, access=self.access)
        return SessionPage(sessions=tuple(map(session_record, rows)), total_count=total)

    async def update_session(
        self, key: SessionKey, changes: SessionChanges, *, updated_at_us: int
    ) -> SessionRecord | None:
        if not may_exist(self.access, key):
            return None
        return await self._write(writes.update_session(key, changes, updated_at_us=updated_at_us))

    async def delete_sessions(
        self, keys: Sequence[SessionKey], *, session_type: str | None = None
    ) -> int:
        reached = [key for key in keys if may_exist(self.access, key)]
        if not reached or not storable(session_type):
            return 0
        return await self._write(writes.delete_sessions(reached, session_type=session_type))

    async def total_tokens(self, key: SessionKey) -> int:
        if not may_exist(self.access, key):
            return 0
        from licet.db import reads

        rows = await self._rows(reads.tokens_of(key))
        return int(rows[0][0])

    def _require(self, session: SessionRecord, run: RunRecord, once: Once | None) -> None:
        require_reach(self.access, session)
        require_same_session(session, run)
        require_own_request(self.access, once)

    def _may_be(self, key: SessionKey, run_id: str) -> bool:
        return may_exist(self.access, key) and storable(run_id)

    async def _refused(self, run: RunRecord) -> Saving:
        # Asked afterwards, since it hardly ever has to be: a run that is gone does not come back.
        found = await self.get_run(run.session_key, run.run_id)
        return Saving.ABSENT if found is None else Saving.REFUSED

    async def _rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        return await self.db.read(
            lambda connection: connection.execute(statement).all(), access=self.access
        )

    async def _write(self, write: writes.Write[T]) -> T:
        return await self.db.write(write, access=self.access)
