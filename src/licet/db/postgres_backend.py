"""PostgresBackend: how a PostgreSQL server is connected to, asked and migrated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from licet.db.backend import Listener
from licet.db.base import Access
from licet.db.examination import DatabaseState
from licet.db.migrations import VERSION_TABLE
from licet.db.postgres_driver import error_text, load_psycopg
from licet.db.postgres_url import PostgresAddress
from licet.db.reach import SETTING, reach_of_connection, reaching_read, reaching_write
from licet.db.steps_database import StepsDatabase
from licet.db.writer import UnavailableError, WriteConnection
from licet.db.writes import Write
from licet.errors import StorageError

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Engine
    from sqlalchemy.engine import Connection

T = TypeVar("T")

# What libpq waits for a server that does not answer: a write fails then, and does not hang.
_CONNECTION = {
    "application_name": "licet",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
# The net below the listener: for as long as it cannot hear, or a pooler in between keeps it deaf.
_POLL_SECONDS = 0.5
# What the engine of durable runs may use: a run takes one for a moment at the end of each step.
_STEPS_POOL, _STEPS_OVERFLOW = 8, 2
STEPS_CONNECTIONS = _STEPS_POOL + _STEPS_OVERFLOW
LISTENERS = 1
_STEPS_SCHEMA = "licet_steps"
# Of PostgreSQL; what is longer is cut off there too.
_MAX_NAME_CHARS = 63
# "licet" as a number: the advisory lock that migrations take.
_MIGRATION_LOCK = int.from_bytes(b"licet", "big")
_WITHOUT_TIMEOUTS = (
    "SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true)"
)


class PostgresBackend:
    """A PostgreSQL server as ``licet.db.backend.Backend`` asks for it.

    Args:
        address: where it is, and who connects.
        id: what clients call the database.
        row_role: whom row-level security binds: transactions run as this role. None: without.
    """

    def __init__(
        self, address: PostgresAddress, *, id: str | None = None, row_role: str | None = None
    ) -> None:
        self._address = address
        self._row_role = row_role
        self.id = id or f"postgres-{address.digest}"
        self.poll_seconds = _POLL_SECONDS

    def prepare(self) -> None:
        """The server is somebody else's."""

    def release(self) -> None:
        """Nothing outlives the connections."""

    def revision(self) -> str | None:
        """The revision of the tables; None when there are none."""
        driver = load_psycopg()
        try:
            with self._connection(autocommit=True) as connection:
                named = "SELECT to_regclass(%s)"
                if connection.execute(named, (VERSION_TABLE,)).fetchone() == (None,):
                    return None
                query = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - a constant
                row = connection.execute(query.encode()).fetchone()
                return None if row is None else str(row[0])
        except driver.Error as error:
            raise StorageError(f"database {self.id!r}: {error_text(error)}") from error

    def examine(self, *, now: Callable[[], float]) -> DatabaseState | None:
        """The server, and who connects."""
        from licet.db.postgres_examination import examine

        driver = load_psycopg()
        revision = self.revision()
        try:
            with self._connection(autocommit=True) as connection:
                server = examine(
                    connection,
                    revision=revision,
                    row_role=self._row_role,
                    steps_schema=_steps_schema,
                    lock=_MIGRATION_LOCK,
                    now=now,
                )
        except driver.Error as error:
            raise StorageError(f"database {self.id!r}: {error_text(error)}") from error
        return DatabaseState(revision=revision, server=server)

    def migrating(self) -> Engine:
        """An engine that takes an advisory lock when a transaction begins.

        Its statements take as long as they take, whatever those of the role may: a migration that
        is broken off would be begun, and broken off, at each start anew.
        """
        from sqlalchemy import event
        from sqlalchemy.pool import NullPool

        engine = self._engine(poolclass=NullPool)

        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(_WITHOUT_TIMEOUTS)
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")

        event.listen(engine, "begin", begin)
        return engine

    def guard(self) -> None:
        """Set up row-level security, if it is asked for, and see to it that it holds."""
        if self._row_role is None:
            return
        from licet.db.postgres_row_security import set_up_row_security

        driver = load_psycopg()
        try:
            with self._connection(autocommit=True) as connection:
                set_up_row_security(connection, self._row_role, lock=_MIGRATION_LOCK)
        except driver.Error as error:
            raise StorageError(
                f"row-level security of database {self.id!r} could not be set up: "
                f"{error_text(error)}"
            ) from error

    def connect(self) -> WriteConnection:
        """A connection for the writer's thread."""
        from licet.db.postgres_pipeline import PostgresPipeline

        return PostgresPipeline(self._connection(autocommit=True), role=self._row_role)

    def guarded_write(self, write: Write[T], access: Access | None) -> Write[T]:
        """With row-level security, a write says first which rows it may reach."""
        return write if self._row_role is None else reaching_write(write, access)

    def guarded_read(
        self, query: Callable[[Connection], T], access: Access | None
    ) -> Callable[[Connection], T]:
        """With row-level security, a query is a transaction that says the same."""
        return query if self._row_role is None else reaching_read(query, access)

    def json_rows(self, columns: Mapping[str, str]) -> str:
        """The rows of a JSON array of arrays. jsonb is parsed once, json once for each value."""
        values = ", ".join(
            f"(value ->> {place})::{type_} AS {name}"
            for place, (name, type_) in enumerate(columns.items())
        )
        return f"(SELECT {values} FROM jsonb_array_elements(?::jsonb))"  # noqa: S608 - constants

    def passing_locked(self, table: str) -> str:
        """The lock that an UPDATE takes: others may still insert rows that refer to the row."""
        return f"FOR NO KEY UPDATE OF {table} SKIP LOCKED"

    def reading(self, connections: int) -> Engine:
        """An engine for reads, each statement a transaction; with row-level security each read."""
        pool: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_recycle": 1800}
        if self._row_role is None:
            return self._engine(isolation_level="AUTOCOMMIT", **pool)
        from sqlalchemy import event

        engine = self._engine(isolation_level="READ COMMITTED", **pool)
        # Both end with the transaction; one statement, since each is a round trip.
        beginning = (
            f"SELECT set_config('role', '{self._row_role}', true), "
            f"set_config('{SETTING}', %s, true)"
        )

        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(beginning, (reach_of_connection(connection),))

        event.listen(engine, "begin", begin)
        return engine

    def steps(self) -> StepsDatabase:
        """A schema of its own in the same database, named after the one that the tables are in."""
        from sqlalchemy.exc import DBAPIError

        driver = load_psycopg()

        def connected() -> psycopg.Connection[tuple[Any, ...]]:
            try:
                return self._connected()
            except driver.OperationalError as error:
                # Of the driver's own errors, and by these words, the engine knows to try again.
                raise driver.OperationalError(f"connection failed: {error_text(error)}") from error

        engine = self._engine(
            creator=connected,
            pool_size=_STEPS_POOL,
            max_overflow=_STEPS_OVERFLOW,
            pool_pre_ping=True,
        )
        try:
            with engine.connect() as connection:
                schema = connection.exec_driver_sql("SELECT current_schema()").scalar()
        except (DBAPIError, StorageError) as error:
            engine.dispose()
            raise StorageError(f"database {self.id!r} cannot be reached: {error}") from error
        return StepsDatabase(engine, _steps_schema(str(schema)), tells=True)

    def listen(self, heard: Callable[[str | None], None]) -> Listener:
        """A listener with a connection of its own."""
        from licet.db.postgres_listener import PostgresListener

        return PostgresListener(lambda: self._connection(autocommit=True), heard, name=self.id)

    def _parameters(self) -> dict[str, str]:
        return self._address.parameters

    def _connection(self, *, autocommit: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
        driver = load_psycopg()
        try:
            return self._connected(autocommit=autocommit)
        except driver.Error as error:
            raise UnavailableError(
                f"database {self.id!r} cannot be reached: {error_text(error)}"
            ) from error

    def _connected(self, *, autocommit: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
        parameters = {**_CONNECTION, **self._parameters()}
        connection: psycopg.Connection[tuple[Any, ...]] = load_psycopg().connect(
            **parameters, autocommit=autocommit
        )
        return connection

    def _engine(self, **options: Any) -> Engine:
        from sqlalchemy import create_engine

        usual = {"creator": self._connection, "use_native_hstore": False}
        return create_engine("postgresql+psycopg://", **{**usual, **options})


def _steps_schema(schema: str) -> str:
    """The schema of the steps, where that of the tables is ``schema``."""
    name = _STEPS_SCHEMA if schema == "public" else f"{_STEPS_SCHEMA}_{schema}"
    return name[:_MAX_NAME_CHARS]
