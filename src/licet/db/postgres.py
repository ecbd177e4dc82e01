"""PostgresDb: PostgreSQL, for many machines; without a URL, one that comes with the package."""

from __future__ import annotations

import os

from licet.db.postgres_backend import LISTENERS, STEPS_CONNECTIONS, PostgresBackend
from licet.db.postgres_row_security import check_role_name
from licet.db.postgres_url import parse_postgres_url
from licet.db.sql_db import OWN_CONNECTIONS, SqlDb
from licet.errors import ConfigurationError

_DEFAULT_FOLDER = ".licet/postgres"
_DEFAULT_ROW_ROLE = "licet_rows"


class PostgresDb(SqlDb):
    """Sessions, runs, trust and audit in PostgreSQL 14 or newer.

    What was answered as stored is committed, as durable as the server's ``synchronous_commit``.
    The role needs the right to create tables and functions in the schema that it finds first.

    Args:
        db_url: ``postgresql+psycopg://user:password@host:port/database``. None starts the
            PostgreSQL of the extra ``pgserver`` in ``data_folder``, for this machine alone.
        id: what clients call the database; by default derived from host, port and database, or
            from the data folder's absolute path.
        data_folder: where the embedded server keeps its data.
        row_level_security: let PostgreSQL itself guard sessions and runs: a statement that forgets
            its owner finds none. Opening fails with ``ConfigurationError`` where it would not hold.
        row_role: the role that transactions run as then; by default ``licet_rows``.

    Attributes:
        is_embedded: it is the server in ``data_folder``.

    Raises:
        ConfigurationError: the URL or the name of the role cannot be used, or of two parameters
            one makes the other meaningless.
    """

    def __init__(
        self,
        db_url: str | None = None,
        *,
        id: str | None = None,
        data_folder: str | os.PathLike[str] | None = None,
        row_level_security: bool = False,
        row_role: str | None = None,
    ) -> None:
        if db_url is not None and data_folder is not None:
            raise ConfigurationError("PostgresDb: give db_url or data_folder, not both")
        if row_role is not None and not row_level_security:
            raise ConfigurationError("PostgresDb: row_role does nothing without row_level_security")
        if row_level_security:
            row_role = check_role_name(_DEFAULT_ROW_ROLE if row_role is None else row_role)
        self.is_embedded = db_url is None
        if db_url is not None:
            address = parse_postgres_url(db_url)
            super().__init__(PostgresBackend(address, id=id, row_role=row_role))
        else:
            folder = _DEFAULT_FOLDER if data_folder is None else data_folder
            super().__init__(_embedded(folder, id, row_role))

    @staticmethod
    def connections(*, durable_runs: bool) -> int:
        """How many connections a process has at most; more where it keeps steps of durable runs."""
        return OWN_CONNECTIONS + LISTENERS + (STEPS_CONNECTIONS if durable_runs else 0)


def _embedded(
    folder: str | os.PathLike[str], id: str | None, row_role: str | None
) -> PostgresBackend:
    if os.name != "posix":
        raise ConfigurationError("PostgresDb: without db_url it needs Linux or macOS; give db_url")
    from licet.db.embedded.backend import EmbeddedBackend
    from licet.db.embedded.server import EmbeddedPostgres

    return EmbeddedBackend(EmbeddedPostgres(folder), id=id, row_role=row_role)
