"""The group-committing writer: one thread, one connection, many writes in one transaction.

While a transaction commits, the writes that arrive wait in a queue; the next transaction takes all
of them. A caller goes on when its write is committed. Callers may be on any event loop, in any
thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from licet.db.writes import Answer, ContentionError, Statement, Write
from licet.errors import LicetError, StorageError, StorageUnavailableError

T = TypeVar("T")

_MAX_WRITES = 256
_ATTEMPTS = 5


class UnavailableError(StorageUnavailableError):
    """The database cannot be worked with; ``may_be_stored`` when that was while committing."""

    def __init__(self, message: str, *, may_be_stored: bool = False) -> None:
        super().__init__(message)
        self.may_be_stored = may_be_stored


class WriteConnection(Protocol):
    """A connection that is used by the writer's thread alone."""

    def execute(self, statements: Sequence[Statement]) -> Sequence[Answer]:
        """Run statements in one transaction, which stays open.

        Raises:
            ContentionError: another process was in the way; trying again may do.
            UnavailableError: the connection is of no use any more, or the database is.
            StorageError: the database refused a statement.
        """

    def commit(self) -> None:
        """Commit the open transaction.

        Raises:
            UnavailableError: whether the transaction is stored is not known.
            StorageError: the database refused; nothing is stored.
        """

    def rollback(self) -> None:
        """Undo the open transaction, if there is one."""

    def close(self) -> None:
        """Give the connection back."""


@dataclass(frozen=True, slots=True)
class _Queued:
    write: Write[Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Outcome:
    queued: _Queued
    result: Any = None
    error: LicetError | None = None


class GroupWriter:
    """Commits writes in groups. ``connect`` is called in the writer's own thread."""

    def __init__(self, connect: Callable[[], WriteConnection], *, name: str) -> None:
        self._connect = connect
        self._name = name
        self._queue: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._connection: WriteConnection | None = None
        # A daemon: an interpreter that ends does not wait for a Db that nobody closed. Whoever got
        # an answer has its write committed.
        self._thread = threading.Thread(target=self._work, name=f"licet-writer-{name}", daemon=True)
        self._thread.start()

    async def write(self, write: Write[T]) -> T:
        """Queue a write and wait until it is committed. Cancelling the wait does not undo it.

        Raises:
            StorageError: it is not stored; the message says so where that is not certain.
            LicetError: what the write itself raised; it is not stored.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            if self._closed:
                raise StorageError(f"database {self._name!r} is closed")
            self._queue.put(_Queued(write, loop, future))
        return await future

    def close(self) -> None:
        """Commit everything that is queued, end the thread, give the connection back."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        # The garbage collector may call this from any thread, this one included.
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._next_batch()
            if batch:
                _answer(self._safe_outcomes(batch))
        self._disconnect()

    def _next_batch(self) -> tuple[list[_Queued], bool]:
        batch: list[_Queued] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) == _MAX_WRITES:
                return batch, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _safe_outcomes(self, batch: list[_Queued]) -> list[_Outcome]:
        """The outcomes of a batch, whatever happens: nobody waits for ever."""
        try:
            return self._outcomes(batch)
        except Exception as error:  # noqa: BLE001 - the thread must live, and the callers must know
            self._disconnect()
            text = f"it is not known whether this is stored: {type(error).__name__}: {error}"
            return [
                _Outcome(queued, error=UnavailableError(text, may_be_stored=True))
                for queued in batch
            ]

    def _outcomes(self, batch: list[_Queued]) -> list[_Outcome]:
        """Commit a batch in one transaction; one by one where one of them spoils that."""
        # Stable: writes of one session keep their order, and all processes lock in one order.
        batch.sort(key=lambda queued: queued.write.key)
        try:
            return self._transaction(batch)
        except UnavailableError as error:
            return [_Outcome(queued, error=_copy(error)) for queued in batch]
        except LicetError as error:
            if len(batch) == 1 and not isinstance(error, ContentionError):
                return [_Outcome(batch[0], error=error)]
        return self._one_by_one(batch)

    def _one_by_one(self, batch: list[_Queued]) -> list[_Outcome]:
        outcomes: list[_Outcome] = []
        unavailable: UnavailableError | None = None
        for queued in batch:
            outcome = _Outcome(queued, error=unavailable and _copy(unavailable))
            # Where the database is gone, the rest does not wait for it once more each.
            if unavailable is None:
                outcome = self._alone(queued)
                if isinstance(outcome.error, UnavailableError):
                    unavailable = UnavailableError(f"not stored: {outcome.error}")
            outcomes.append(outcome)
        return outcomes

    def _alone(self, queued: _Queued) -> _Outcome:
        error: LicetError | None = None
        for _ in range(_ATTEMPTS):
            try:
                return self._transaction([queued])[0]
            except ContentionError as contention:
                error = contention
            except LicetError as final:
                return _Outcome(queued, error=final)
        return _Outcome(queued, error=error)

    def _transaction(self, batch: list[_Queued]) -> list[_Outcome]:
        """One transaction. Raises after it was undone, or after the connection was given up."""
        try:
            try:
                outcomes = self._attempt(batch)
            except UnavailableError:
                # Nothing was committed yet: a server that was restarted is simply asked again.
                self._disconnect()
                outcomes = self._attempt(batch)
            self._connected().commit()
        except UnavailableError:
            self._disconnect()
            raise
        except LicetError:
            self._undo()
            raise
        except Exception as error:
            self._disconnect()
            raise StorageError(f"not stored: {type(error).__name__}: {error}") from error
        return outcomes

    def _attempt(self, batch: list[_Queued]) -> list[_Outcome]:
        statements = [s for queued in batch for s in queued.write.statements]
        answers = self._connected().execute(statements)
        outcomes: list[_Outcome] = []
        start = 0
        for queued in batch:
            end = start + len(queued.write.statements)
            outcomes.append(_Outcome(queued, queued.write.conclude(answers[start:end])))
            start = end
        return outcomes

    def _connected(self) -> WriteConnection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _undo(self) -> None:
        if self._connection is not None:
            try:
                self._connection.rollback()
            except StorageError:
                self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # It is given up because it is broken; what closing it says adds nothing.
            with contextlib.suppress(StorageError):
                connection.close()


def _answer(outcomes: list[_Outcome]) -> None:
    """Tell the callers: one wake-up for each event loop, not for each write."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome.queued.loop, []).append(outcome)
    for loop, of_loop in by_loop.items():
        # RuntimeError: that loop has ended, and nobody is left who waits on it.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, of_loop)


def _resolve(outcomes: list[_Outcome]) -> None:
    for outcome in outcomes:
        future = outcome.queued.future
        if future.done():
            continue
        if outcome.error is not None:
            future.set_exception(outcome.error)
        else:
            future.set_result(outcome.result)


def _copy(error: UnavailableError) -> UnavailableError:
    """One of its own for each caller: raising adds to an exception's traceback."""
    return UnavailableError(str(error), may_be_stored=error.may_be_stored)
