"""SqliteDb: one file, for one machine. Several processes can use it at once."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from licet.db.base import Access
from licet.db.examination import DatabaseState
from licet.db.migrations import VERSION_TABLE
from licet.db.sql_db import SqlDb
from licet.db.steps_database import StepsDatabase
from licet.db.writer import UnavailableError, WriteConnection
from licet.db.writes import Answer, Statement, Write
from licet.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import Connection

T = TypeVar("T")

_DEFAULT_FILE = ".licet/licet.db"
_BUSY_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.2
_STEPS_CONNECTIONS = 8
_STEPS_BUSY_SECONDS = 30
_URL_SCHEME = "sqlite:///"


class SqliteDb(SqlDb):
    """Sessions, runs, trust and audit in a SQLite file.

    What was answered as stored survives the end of the process (``kill -9``), of the operating
    system, and of the power: each commit is synced to the disk (WAL, ``synchronous=FULL``), as far
    as the disk keeps its word. The writes that wait together share one sync.

    The file, and folders that do not exist, are made for their owner alone (0600, 0700). It has to
    lie on a local disk: WAL does not work over a network file system.

    Args:
        db_file: the file; relative to the folder in which the program was started.
        db_url: the same as ``sqlite:///file``.
        id: what clients call the database; by default derived from the file's absolute path.

    Raises:
        ConfigurationError: both a file and a URL, or a URL of another kind.
    """

    def __init__(
        self,
        db_file: str | os.PathLike[str] | None = None,
        *,
        db_url: str | None = None,
        id: str | None = None,
    ) -> None:
        if db_file is not None and db_url is not None:
            raise ConfigurationError("SqliteDb: give db_file or db_url, not both")
        if db_url is not None:
            db_file = _file_of(db_url)
        path = Path(_DEFAULT_FILE if db_file is None else db_file).resolve()
        super().__init__(SqliteBackend(path, id=id))
        self.db_file = path


class SqliteBackend:
    """A SQLite file as ``licet.db.backend.Backend`` asks for it."""

    def __init__(self, path: Path, *, id: str | None = None) -> None:
        self._path = path
        self.id = id or f"sqlite-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"
        self.poll_seconds = _POLL_SECONDS

    def prepare(self) -> None:
        """Make the file and its folder, for their owner alone, and switch it to WAL."""
        try:
            for folder in reversed(self._path.parents):
                folder.mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._switch_to_wal()
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error

    def release(self) -> None:
        """Nothing outlives the connections."""

    def revision(self) -> str | None:
        """The revision of the tables; None when there are none."""
        connection = self._connection()
        try:
            named = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
            if connection.execute(named, (VERSION_TABLE,)).fetchone() is None:
                return None
            query = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - a constant
            row = connection.execute(query).fetchone()
            return None if row is None else str(row[0])
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        finally:
            connection.close()

    def examine(self, *, now: Callable[[], float]) -> DatabaseState | None:  # noqa: ARG002 - our own
        """The file, if there is one; else whether one could be made."""
        try:
            there = next(place for place in (self._path, *self._path.parents) if place.exists())
            if not os.access(there, os.W_OK):
                raise PermissionError(f"{str(there)!r} cannot be written")
            if there == self._path:
                return DatabaseState(revision=self.revision())
            if not there.is_dir():
                raise NotADirectoryError(f"{str(there)!r} is no folder")
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        return None

    def migrating(self) -> Engine:
        """An engine that takes the file's only write lock when a transaction begins."""
        from sqlalchemy import create_engine, event
        from sqlalchemy.pool import NullPool

        engine = create_engine("sqlite://", creator=self._connection, poolclass=NullPool)

        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        event.listen(engine, "begin", begin)
        return engine

    def guard(self) -> None:
        """A file guards no rows: whoever reads it reads all of it."""

    def guarded_write(self, write: Write[T], access: Access | None) -> Write[T]:  # noqa: ARG002 - as above
        """The write as it is."""
        return write

    def guarded_read(
        self,
        query: Callable[[Connection], T],
        access: Access | None,  # noqa: ARG002 - as above
    ) -> Callable[[Connection], T]:
        """The query as it is."""
        return query

    def connect(self) -> WriteConnection:
        """A connection for the writer's thread."""
        try:
            connection = self._connection()
            # A larger log and cache: fewer pages are written twice (16 MB each).
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
            connection.execute("PRAGMA cache_size = -16000")
            return _SqliteWriteConnection(connection)
        except sqlite3.Error as error:
            raise UnavailableError(f"not stored: SQLite cannot open its file: {error}") from error

    def json_rows(self, columns: Mapping[str, str]) -> str:
        """The rows of a JSON array of arrays; JSON's values bring their types along."""
        values = ", ".join(
            f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(columns)
        )
        # json_each would write a row's text anew for each of its values. What has a limit is read
        # row by row into a place of its own: that halves the cost.
        rows = "(SELECT value FROM json_each(?) LIMIT -1)"
        return f"(SELECT {values} FROM {rows})"  # noqa: S608 - constants

    def passing_locked(self, table: str) -> str:  # noqa: ARG002 - there are no locks of rows
        """Nothing: one process writes at a time."""
        return ""

    def reading(self, connections: int) -> Engine:
        """An engine of connections that cannot write. They do not wait for the writer."""
        from sqlalchemy import create_engine
        from sqlalchemy.pool import QueuePool

        return create_engine(
            "sqlite://",
            creator=self._reading_connection,
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
        )

    def steps(self) -> StepsDatabase:
        """A file beside this one: the steps of runs would keep its writer waiting."""
        from sqlalchemy import create_engine
        from sqlalchemy.pool import QueuePool

        beside = SqliteBackend(self._path.with_name(f"{self._path.stem}-steps.db"))
        beside.prepare()

        def connected() -> sqlite3.Connection:
            connection = beside._connection(one_thread=False)
            # The engine's own way: a transaction begins with its first write, as a writer.
            connection.isolation_level = "IMMEDIATE"
            connection.execute(f"PRAGMA busy_timeout = {_STEPS_BUSY_SECONDS * 1000}")
            return connection

        engine = create_engine(
            f"sqlite:///{beside._path}",
            creator=connected,
            poolclass=QueuePool,
            pool_size=_STEPS_CONNECTIONS,
        )
        return StepsDatabase(engine, "", tells=False)

    def listen(self, heard: Callable[[str | None], None]) -> None:
        """A file tells nobody when it changes."""

    def _unusable(self, error: Exception) -> StorageError:
        return StorageError(f"SQLite file {str(self._path)!r} cannot be used: {error}")

    def _connection(self, *, one_thread: bool = True) -> sqlite3.Connection:
        # Without isolation_level the module begins no transactions of its own.
        connection = sqlite3.connect(
            self._path,
            timeout=_BUSY_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=one_thread,
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _reading_connection(self) -> sqlite3.Connection:
        connection = self._connection(one_thread=False)
        # SQLite's own lower() knows ASCII only.
        connection.create_function("lower", 1, _lower, deterministic=True)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _switch_to_wal(self) -> None:
        connection = self._connection()
        try:
            # The switch asks for the file alone and does not wait for it: two processes that start
            # together have to try again.
            deadline = time.monotonic() + _BUSY_TIMEOUT_SECONDS
            while True:
                try:
                    connection.execute("PRAGMA journal_mode = WAL")
                except sqlite3.OperationalError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)
                else:
                    return
        finally:
            connection.close()


class _SqliteWriteConnection:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statements: Sequence[Statement]) -> Sequence[Answer]:
        try:
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            return [self._answer(statement) for statement in statements]
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError) as error:
            raise StorageError(f"not stored: SQLite refused: {error}") from error
        except sqlite3.Error as error:
            raise UnavailableError(f"not stored: SQLite: {error}") from error

    def commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            text = f"it is not known whether this is stored: SQLite: {error}"
            raise UnavailableError(text, may_be_stored=True) from error

    def rollback(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise StorageError(f"SQLite: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def _answer(self, statement: Statement) -> Answer:
        cursor = self._connection.execute(statement.sql, statement.parameters)
        rows: list[Any] = cursor.fetchall() if cursor.description else []
        return Answer(rows, cursor.rowcount)


def _file_of(db_url: str) -> str:
    name = unquote(db_url.removeprefix(_URL_SCHEME).partition("?")[0])
    if not db_url.startswith(_URL_SCHEME) or not name or name == ":memory:":
        raise ConfigurationError(
            "SqliteDb: db_url must be 'sqlite:///file', or 'sqlite:////file' for an absolute path; "
            "licet.db.in_memory.InMemoryDb keeps nothing"
        )
    return name


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()
