"""What programs of several processes share: a real PostgreSQL, and databases in it or in files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.pausing import Office, office
from tests.support.postgres import ROLE, ROW_ROLE, fresh_database, postgres_server

__all__ = ["at", "postgres_server", "shared_db"]


SHARED = ("sqlite", "postgres")


@pytest.fixture(params=SHARED)
def shared_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new database that several processes share, as a program writes it down."""
    with _database(request, tmp_path) as db:
        yield db


@pytest.fixture(scope="module", params=SHARED)
def at(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Office]:
    """Two replicas that stay as they are: no test ends one of them, or revokes anybody."""
    folder = tmp_path_factory.mktemp("office")
    with _database(request, folder) as db, office(folder, db, replicas=2) as made:
        yield made


@contextmanager
def _database(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"SqliteDb({str(folder / 'licet.db')!r})"
        return
    server = request.getfixturevalue("postgres_server")
    # Each statement is held to the rows that it may reach.
    server.create_role_within(ROW_ROLE, member=ROLE)
    with fresh_database(server) as url:
        yield f"PostgresDb(db_url={url!r}, row_level_security=True)"
