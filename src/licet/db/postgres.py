"""PostgresDb: PostgreSQL, for many machines; without a URL, one that comes with the package."""

from __future__ import annotations

import os

from licet.db.postgres_backend import PostgresBackend
from licet.db.postgres_url import parse_postgres_url
from licet.db.sql_db import SqlDb
from licet.errors import ConfigurationError

_DEFAULT_FOLDER = ".licet/postgres"


class PostgresDb(SqlDb):
    """Sessions, runs and trust in PostgreSQL 14 or newer.

    What was answered as stored is committed, as durable as the server's ``synchronous_commit``.
    The role needs the right to create tables and functions in the schema that it finds first.

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


def _embedded(folder: str | os.PathLike[str], id: str | None) -> PostgresBackend:
    if os.name != "posix":
        raise ConfigurationError("PostgresDb: without db_url it needs Linux or macOS; give db_url")
    from licet.db.embedded.backend import EmbeddedBackend
    from licet.db.embedded.server import EmbeddedPostgres

    return EmbeddedBackend(EmbeddedPostgres(folder), id=id)
