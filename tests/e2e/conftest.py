"""What programs of several processes share: a real PostgreSQL, and databases in it or in files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import ROLE, ROW_ROLE, fresh_schema, postgres_server

__all__ = ["postgres_server", "shared_db"]


@pytest.fixture(params=["sqlite", "postgres"])
def shared_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that several processes share, as a program writes it down.

    In PostgreSQL each statement is held to the rows that it may reach.
    """
    if request.param == "sqlite":
        yield f"SqliteDb({str(tmp_path / 'licet.db')!r})"
        return
    server = request.getfixturevalue("postgres_server")
    server.create_role_within(ROW_ROLE, member=ROLE)
    with fresh_schema(server) as url:
        yield f"PostgresDb(db_url={url!r}, row_level_security=True)"
