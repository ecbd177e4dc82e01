"""What the SQL databases share: opening, closing, one writer, a few reading connections."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from licet.db.access import THE_SERVER
from licet.db.approval_base import ApprovalStore
from licet.db.audit_base import AuditStore
from licet.db.backend import Backend, Listener
from licet.db.base import Access, Store
from licet.db.examination import DatabaseState
from licet.db.migrating import bring_up_to_date
from licet.db.reading import OwnReader, answered
from licet.db.schedule_base import ScheduleStore
from licet.db.sql_approvals import sql_approvals
from licet.db.sql_audit import sql_audit
from licet.db.sql_schedules import sql_schedules
from licet.db.sql_store import sql_store
from licet.db.sql_trust import sql_trust
from licet.db.sql_work import sql_work
from licet.db.steps_database import StepsDatabase
from licet.db.trust_base import TrustStore
from licet.db.watching import Waiters, wait_for_change
from licet.db.work_base import WorkStore
from licet.db.writer import GroupWriter
from licet.db.writes import Write, together
from licet.errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import Connection

T = TypeVar("T")

_READERS = 4
OWN_CONNECTIONS = _READERS + 3
"""Readers, the writer, and the two that wait for nobody; a listener comes to them."""


class SqlDb:
    """A database behind a ``Backend``. Constructing it opens nothing."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._open_parts: _OpenParts | None = None
        self._finalizer: weakref.finalize[[], SqlDb] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r})"

    @property
    def id(self) -> str:
        """What clients call it: stable over restarts, without any secret."""
        return self._backend.id

    async def open(self) -> None:
        """Connect and bring the tables up to date. Doing it twice does nothing more.

        Raises:
            StorageError: the database cannot be reached, or its tables are newer than this code.
        """
        await self._opened()

    async def examine(self, *, now: Callable[[], float] = time.time) -> DatabaseState | None:
        """What is seen of the database as it is: nothing is opened, made or migrated.

        None: there is nothing yet; opening it makes it. ``now`` gives epoch seconds.

        Raises:
            StorageError: it cannot be reached, or could not be made.
        """
        return await asyncio.to_thread(self._backend.examine, now=now)

    async def close(self) -> None:
        """Commit what is waiting and give everything back. It can be opened again afterwards."""
        await asyncio.to_thread(self._close)

    def store(self, access: Access) -> Store:
        """A handle for one access. Costs nothing; opens the database at its first use."""
        return sql_store(self, access)

    def trust(self) -> TrustStore:
        """Revocations and service accounts. Costs nothing; opens the database at its first use."""
        return sql_trust(self)

    def audit(self) -> AuditStore:
        """The audit trail. Costs nothing; opens the database at its first use."""
        return sql_audit(self, self._backend)

    def work(self) -> WorkStore:
        """Who works on runs, and on which. Costs nothing; opens the database at its first use."""
        return sql_work(self, self._backend)

    def approvals(self) -> ApprovalStore:
        """What others than the runs' owners decide. Opens the database at its first use."""
        return sql_approvals(self)

    def schedules(self, access: Access) -> ScheduleStore:
        """Schedules as one access sees them. Opens the database at its first use."""
        return sql_schedules(self, access)

    async def steps_database(self) -> StepsDatabase:
        """Connections for the engine of durable runs.

        Raises:
            StorageError: the database cannot be reached.
        """
        await self._opened()
        return await asyncio.to_thread(self._backend.steps)

    async def watch(self, topic: str, *, after: int, timeout_seconds: float) -> int:
        """Wait until the number of a topic is above ``after``, or the time is over; answer it.

        Raises:
            StorageError: the number could not be read, or the database was closed meanwhile.
        """
        parts = await self._opened()
        return await parts.watch(topic, after=after, timeout_seconds=timeout_seconds)

    async def write(
        self,
        write: Write[T],
        *,
        access: Access | None = None,
        beside: Write[None] | None = None,
    ) -> T:
        """Commit a write, together with those that wait with it.

        Where the database guards its rows, ``access`` says which sessions and runs the write
        reaches; None: not one.

        Args:
            write: what is answered.
            access: on whose behalf.
            beside: a write of the server's own, which reaches everything and comes after the other:
                both are committed, or neither.

        Raises:
            StorageError: it is not stored; the message says so where that is not certain.
        """
        parts = await self._opened()
        guarded = self._backend.guarded_write(write, access)
        if beside is not None:
            guarded = together(guarded, self._backend.guarded_write(beside, THE_SERVER))
        return await parts.writer.write(guarded)

    async def read(self, query: Callable[[Connection], T], *, access: Access | None = None) -> T:
        """Answer a query in a reading thread. It may be asked twice, if the connection breaks.

        ``access`` is as for ``write``.

        Raises:
            StorageError: the database could not answer.
        """
        parts = await self._opened()
        return await parts.read(self._backend.guarded_read(query, access))

    async def follow(self, query: Callable[[Connection], T]) -> T:
        """Answer a query of who follows changes, whatever users and strangers ask meanwhile.

        Raises:
            StorageError: the database could not answer.
        """
        return await (await self._opened()).following.read(query)

    @property
    def reconnects(self) -> int:
        """How often ``follow`` and ``watch`` had to connect anew since the database was opened."""
        parts = self._open_parts
        return 0 if parts is None else parts.following.reconnects

    async def look_up(self, query: Callable[[Connection], T]) -> T:
        """Answer a query on which it depends who somebody is, whatever users ask meanwhile.

        Raises:
            StorageError: the database could not answer.
        """
        return await (await self._opened()).lookups.read(query)

    async def _opened(self) -> _OpenParts:
        parts = self._open_parts
        return parts if parts is not None else await asyncio.to_thread(self._open)

    def _open(self) -> _OpenParts:
        with self._lock:
            if self._open_parts is None:
                self._backend.prepare()
                try:
                    bring_up_to_date(self._backend)
                    self._backend.guard()
                except BaseException:
                    self._backend.release()
                    raise
                parts = _OpenParts(self._backend)
                # For a program that never closes: at its end, or when the Db is forgotten.
                self._finalizer = weakref.finalize(self, parts.close)
                self._open_parts = parts
            return self._open_parts

    def _close(self) -> None:
        with self._lock:
            self._open_parts = None
            if self._finalizer is not None:
                self._finalizer()
                self._finalizer = None


class _OpenParts:
    """What an open database holds. Knows nothing of its ``SqlDb``, which may be forgotten first."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.writer = GroupWriter(backend.connect, name=backend.id)
        self._names = f"licet-read-{backend.id}"
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix=self._names)
        self.following = OwnReader(backend, name="follow")
        self.lookups = OwnReader(backend, name="lookup")
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._waiters = Waiters()
        self._listening_lock = threading.Lock()
        self._listener: Listener | None = None
        self._closed = False

    async def read(self, query: Callable[[Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            # With its context: whoever watches statements sees for whom they are.
            context = copy_context()
            answer = loop.run_in_executor(self._readers, context.run, self._read, query)
        except RuntimeError as error:
            raise StorageError(f"database {self._backend.id!r} is closed") from error
        return await answer

    async def watch(self, topic: str, *, after: int, timeout_seconds: float) -> int:
        self._listen()

        def number(connection: Connection) -> int:
            from licet.db.trust_reads import topic_number

            return topic_number(connection, topic)

        return await wait_for_change(
            self._waiters,
            topic,
            lambda: self.following.read(number),
            after=after,
            timeout_seconds=timeout_seconds,
            poll_seconds=self._backend.poll_seconds,
        )

    def close(self) -> None:
        with self._listening_lock:
            self._closed = True
        if self._listener is not None:
            self._listener.close()
        self.writer.close()
        # A reading thread may be the last that knew of the Db: it cannot wait for itself.
        inside = threading.current_thread().name.startswith(self._names)
        self._readers.shutdown(wait=not inside)
        self.following.close()
        self.lookups.close()
        # They read once more, and are told that there is nothing to read any longer.
        self._waiters.wake(None)
        if self._engine is not None:
            self._engine.dispose()
        self._backend.release()

    def _listen(self) -> None:
        """Listen from the first watch on: a database that nobody follows needs no listener."""
        with self._listening_lock:
            if self._listener is None and not self._closed:
                self._listener = self._backend.listen(self._waiters.wake)

    def _read(self, query: Callable[[Connection], T]) -> T:
        engine = self._reading()
        return answered(lambda: _ask(engine, query), database=self._backend.id)

    def _reading(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = self._backend.reading(_READERS)
            return self._engine


def _ask(engine: Engine, query: Callable[[Connection], T]) -> T:
    with engine.connect() as connection:
        return query(connection)
