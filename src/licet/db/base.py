"""The Db protocol: storage that can be reached only on behalf of an owner.

A ``Db`` by itself reads nothing. ``db.store(access)`` opens a handle for one principal, and every
query of that handle carries the owner: a key that the access does not reach behaves exactly as one
that does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import msgspec

from licet.db.approval_base import ApprovalStore
from licet.db.approval_records import ApprovalRecord
from licet.db.audit_base import AuditStore
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
from licet.db.schedule_base import ScheduleStore
from licet.db.trust_base import TrustStore
from licet.db.work_base import WorkStore
from licet.db.work_records import JobRecord, Once, QueueLimits

NOBODY = ""
"""The owner of rows that were written without authorization."""


class Access(msgspec.Struct, frozen=True):
    """On whose behalf rows are read and written. ``sees_all`` is the administrator's."""

    owner: str
    sees_all: bool = False

    def reaches(self, owner: str) -> bool:
        """Whether rows of ``owner`` exist for this access."""
        return self.sees_all or owner == self.owner


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChanges:
    """What to change of a session. None leaves a value as it is."""

    session_name: str | None = None
    session_state: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None


class Store(Protocol):
    """Rows as one access sees them. Every method may raise ``StorageError``."""

    async def begin_run(
        self,
        session: SessionRecord,
        run: RunRecord,
        *,
        history_runs: int,
        once: Once | None = None,
    ) -> BegunRun:
        """Store a new run, and its session if there is none yet, before any model is called.

        One transaction. An existing session is left as it is and answered. ``history`` holds the
        bodies of the session's last ``history_runs`` COMPLETED runs of the same component, oldest
        first, without the new one. When this returns, the run is committed.

        Raises:
            ConflictError: a run of that id exists.
            InvalidInputError: no run begins in that state (``run_states.FIRST``), it is to wait for
                whoever claims it (``enqueue_run``), or ``once`` is not of an owner who is reached.
            NotFoundError: ``session.owner`` is not reached by this access.
            RepeatedRequestError: ``once`` was used before. That goes before the other refusals of
                the database: whoever asks again gets to know what the first request began.
        """

    async def enqueue_run(
        self,
        session: SessionRecord,
        run: RunRecord,
        job: JobRecord,
        *,
        limits: QueueLimits,
        once: Once | None = None,
    ) -> None:
        """Store a new durable run, PENDING, with what it needs to be worked on. One transaction.

        Whoever calls this wakes who works (``WorkStore.raise_work``). Of ``limits`` only
        ``waiting`` counts here; processes that enqueue at once may pass it by what they enqueue.

        Raises:
            InvalidInputError: it is not durable and PENDING, somebody works on it, or the job is
                another run's.
            QueueFullError: ``limits.waiting`` runs wait already.
            LicetError: as ``begin_run``.
        """

    async def work_on_run(self, run: RunRecord, *, history_runs: int) -> BegunRun | None:
        """As ``save_run`` of a RUNNING run without a state; answers what ``begin_run`` would.

        None, and nothing is written, where ``save_run`` would not be SAVED.

        Raises:
            InvalidInputError: the run is given in another state.
        """

    async def save_run(self, run: RunRecord, *, session_state: dict[str, Any] | None) -> Saving:
        """Write the state that a run has reached, and the session's state if it is given.

        Only where it may be saved in that state (``run_states.may_be_saved``), and the stored run
        is of the same ``executor_id``. What is not SAVED has written nothing.
        """

    async def pause_run(
        self,
        run: RunRecord,
        *,
        session_state: dict[str, Any] | None,
        job: JobRecord | None,
        approvals: Sequence[ApprovalRecord],
    ) -> Saving:
        """As ``save_run`` of a PAUSED run; with what it waits for, and what it needs to go on.

        One transaction. Nobody works on the run then (``executor_id`` None). A job that it has
        already stays as it is. A run that was asked to stop is REFUSED.

        Raises:
            ConflictError: there is an approval of the id of one of them.
            InvalidInputError: the run is given in another state, or what goes with it is another
                run's.
        """

    async def continue_run(
        self, run: RunRecord, *, paused_at_us: int, history_runs: int
    ) -> BegunRun | None:
        """Let a PAUSED run go on: RUNNING, in ``executor_id``; or PENDING, for whoever claims it.

        Writes its status, its body, its ``executor_id`` and its ``durable``, if it is stored as
        PAUSED since ``paused_at_us`` (its ``updated_at_us``) and waits for no approval; PENDING
        only if it has a job. Of several at once, one gets the answer that ``begin_run`` would give.
        None: nothing was written.

        Raises:
            InvalidInputError: the run is given in another state; or PENDING, and it is not durable.
        """

    async def ask_to_cancel(self, key: SessionKey, run_id: str, *, now_us: int) -> bool:
        """Ask the process that works on a RUNNING run to stop it; raises ``WORK_TOPIC``'s number.

        It stays asked, also while the run pauses or waits again. The number is raised after what
        was asked is committed, and before this answers. False: there is no such run, or it is not
        RUNNING.
        """

    async def find_run(self, run_id: str) -> RunRecord | None:
        """The run of that id, whichever session of whichever owner this access reaches it is in."""

    async def get_run(self, key: SessionKey, run_id: str) -> RunRecord | None:
        """One run of a session."""

    async def list_runs(self, key: SessionKey, query: RunQuery) -> Sequence[RunRecord]:
        """Runs of a session, oldest first."""

    async def recent_runs(self, query: RecentRuns) -> Sequence[RunHead]:
        """The newest runs that this access reaches, whichever sessions they are in, newest first.

        By ``created_at_us``, then ``run_id``. For people who look after a server: a filter that
        few runs fit is looked through in all of them.
        """

    async def create_session(self, session: SessionRecord) -> bool:
        """Store a new session. False: its owner has one of that id, which is left as it is.

        Raises:
            NotFoundError: ``session.owner`` is not reached by this access.
        """

    async def find_sessions(self, session_id: str) -> Sequence[SessionRecord]:
        """Every session of that id that this access reaches, its own first, then by owner."""

    async def list_sessions(self, query: SessionQuery) -> SessionPage:
        """One page of the sessions that this access reaches."""

    async def update_session(
        self, key: SessionKey, changes: SessionChanges, *, updated_at_us: int
    ) -> SessionRecord | None:
        """Change a session and answer it as it is then. None: there is none."""

    async def delete_sessions(
        self, keys: Sequence[SessionKey], *, session_type: str | None = None
    ) -> int:
        """Delete sessions with their runs, in one transaction. Answers how many there were."""

    async def total_tokens(self, key: SessionKey) -> int:
        """The tokens that all runs of a session have used."""


@runtime_checkable
class Db(Protocol):
    """A database. Safe to share between agents, threads and event loops."""

    @property
    def id(self) -> str:
        """What clients call it (``db_id``): stable over restarts, without any secret."""

    async def open(self) -> None:
        """Connect and bring the tables up to date. Doing it twice does nothing more.

        Raises:
            StorageError: the database cannot be reached, or its tables are newer than this code.
        """

    async def close(self) -> None:
        """Commit what is waiting and give everything back. It can be opened again afterwards."""

    def store(self, access: Access) -> Store:
        """A handle for one access. Costs nothing; opens the database at its first use."""

    def trust(self) -> TrustStore:
        """Revocations and service accounts. Costs nothing; opens the database at its first use."""

    def audit(self) -> AuditStore:
        """The audit trail. Costs nothing; opens the database at its first use."""

    def work(self) -> WorkStore:
        """Who works on runs, and on which. Costs nothing; opens the database at its first use."""

    def approvals(self) -> ApprovalStore:
        """What others than the runs' owners decide. Costs nothing, as the others."""

    def schedules(self, access: Access) -> ScheduleStore:
        """Schedules as one access sees them. Opens the database at its first use."""

    async def watch(self, topic: str, *, after: int, timeout_seconds: float) -> int:
        """Wait until the number of a topic is above ``after``, or the time is over; answer it.

        A change is seen within half a second, also when another process made it. The answer says
        what was read at the end of the wait: an unchanged number means that nothing had happened.

        Raises:
            StorageError: the number could not be read, or there is no such topic.
        """
