"""PostgresDb: PostgreSQL, for many machines; without a URL, one that comes with the package."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from licet.db.migrations import VERSION_TABLE
from licet.db.postgres_driver import error_text, load_psycopg
from licet.db.postgres_url import PostgresAddress, parse_postgres_url
from licet.db.sql_db import SqlDb
from licet.db.writer import UnavailableError, WriteConnection
from licet.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Engine
    from sqlalchemy.engine import Connection

_DEFAULT_FOLDER = ".licet/postgres"
# What libpq waits for a server that does not answer: a write fails then, and does not hang.
_CONNECTION = {
    "application_name": "licet",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
# "licet" as a number: the advisory lock that migrations take.
_MIGRATION_LOCK = int.from_bytes(b"licet", "big")


class PostgresDb(SqlDb):
    """Sessions and runs in PostgreSQL 14 or newer.

    What was answered as stored is committed, as durable as the server's ``synchronous_commit``.
    The role needs the right to create tables in the schema that it finds first.

    Args:
        db_url: ``postgresql+psycopg://user:password@host:port/database``. None starts the
            PostgreSQL of the extra ``pgserver`` in ``data_folder``, for this machine alone.
        id: what clients call the database; by default derived from host, port and database, or
            from the data folder's absolute path.
        data_folder: where the embedded server keeps its data.

    Raises:
        ConfigurationError: the URL cannot be read, or both a URL and a folder are given.
    """

    def __init__(
        self,
        db_url: str | None = None,
        *,
        id: str | None = None,
        data_folder: str | os.PathLike[str] | None = None,
    ) -> None:
        if db_url is not None and data_folder is not None:
            raise ConfigurationError("PostgresDb: give db_url or data_folder, not both")
        if db_url is not None:
            super().__init__(PostgresBackend(parse_postgres_url(db_url), id=id))
        else:
            super().__init__(_embedded(_DEFAULT_FOLDER if data_folder is None else data_folder, id))


class PostgresBackend:
    """A PostgreSQL server as ``licet.db.backend.Backend`` asks for it."""

    def __init__(self, address: PostgresAddress, *, id: str | None = None) -> None:
        self._address = address
        self.id = id or f"postgres-{address.digest}"

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

    def migrating(self) -> Engine:
        """An engine that takes an advisory lock when a transaction begins."""
        from sqlalchemy import event
        from sqlalchemy.pool import NullPool

        engine = self._engine(poolclass=NullPool)

        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")

        event.listen(engine, "begin", begin)
        return engine

    def connect(self) -> WriteConnection:
        """A connection for the writer's thread."""
        from licet.db.postgres_pipeline import PostgresPipeline

        return PostgresPipeline(self._connection(autocommit=True))

    def reading(self, connections: int) -> Engine:
        """An engine for reads, each of them its own transaction."""
        return self._engine(
            pool_size=connections, max_overflow=0, isolation_level="AUTOCOMMIT", pool_recycle=1800
        )

    def _parameters(self) -> dict[str, str]:
        return self._address.parameters

    def _connection(self, *, autocommit: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
        driver = load_psycopg()
        try:
            connection: psycopg.Connection[tuple[Any, ...]] = driver.connect(
                **{**_CONNECTION, **self._parameters()}, autocommit=autocommit
            )
        except driver.Error as error:
            raise UnavailableError(
                f"database {self.id!r} cannot be reached: {error_text(error)}"
            ) from error
        return connection

    def _engine(self, **options: Any) -> Engine:
        from sqlalchemy import create_engine

        return create_engine(
            "postgresql+psycopg://",
            creator=self._connection,
            use_native_hstore=False,
            **options,
        )


def _embedded(folder: str | os.PathLike[str], id: str | None) -> PostgresBackend:
    if os.name != "posix":
        raise ConfigurationError("PostgresDb: without db_url it needs Linux or macOS; give db_url")
    from licet.db.embedded.backend import EmbeddedBackend
    from licet.db.embedded.server import EmbeddedPostgres

    return EmbeddedBackend(EmbeddedPostgres(folder), id=id)
