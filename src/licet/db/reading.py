"""Reading from a SQL database: asking once more, and readers that nobody else keeps waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from licet.db.backend import Backend
from licet.errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import Connection

T = TypeVar("T")


def answered(ask: Callable[[], T], *, database: str) -> T:
    """What ``ask`` answers; it is asked once more where its connection had broken.

    Raises:
        StorageError: the database could not answer.
    """
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        try:
            return ask()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return ask()
    except SQLAlchemyError as error:
        # The statement and its parameters stay out of the message: they hold what users wrote.
        cause: Any = getattr(error, "orig", None) or error
        raise StorageError(
            f"database {database!r} could not answer: {type(cause).__name__}: {cause}"
        ) from error


class OwnReader:
    """A thread with one connection, both made when they are first needed.

    Whoever reads here waits for nobody who reads elsewhere, however slow their queries are. It is
    on nobody's behalf: where the database guards its rows, no session and no run is reached.

    Args:
        backend: the database.
        name: tells the readers of one database apart.
    """

    def __init__(self, backend: Backend, *, name: str) -> None:
        self._backend = backend
        self._name = f"licet-{name}-{backend.id}"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        self._engine: Engine | None = None
        self._connections = 0

    @property
    def reconnects(self) -> int:
        """How often it had to connect anew. What it is connected to then may be another server."""
        return max(0, self._connections - 1)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Answer a query. It may be asked twice, if the connection breaks.

        Raises:
            StorageError: the database could not answer, or was closed.
        """
        loop = asyncio.get_running_loop()
        query = self._backend.guarded_read(query, None)
        try:
            # With its context: whoever watches statements sees for whom they are.
            context = copy_context()
            answer = loop.run_in_executor(self._thread, context.run, self._read, query)
        except RuntimeError as error:
            raise StorageError(f"database {self._backend.id!r} is closed") from error
        return await answer

    def close(self) -> None:
        """End the thread and give the connection back."""
        # The garbage collector may call this from any thread, this one included.
        inside = threading.current_thread().name.startswith(self._name)
        self._thread.shutdown(wait=not inside)
        if self._engine is not None:
            self._engine.dispose()

    def _read(self, query: Callable[[Connection], T]) -> T:
        engine = self._engine or self._made()

        def ask() -> T:
            with engine.connect() as connection:
                return query(connection)

        return answered(ask, database=self._backend.id)

    def _made(self) -> Engine:
        from sqlalchemy import event

        def connected(_connection: object, _record: object) -> None:
            self._connections += 1

        self._engine = self._backend.reading(1)
        event.listen(self._engine, "connect", connected)
        return self._engine
