"""Real databases, and a deadline for what other threads and processes do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from licet.db.postgres import PostgresDb
from licet.db.sql_db import SqlDb
from licet.db.sqlite import SqliteDb
from tests.support.postgres import (
    EmbeddedPostgres,
    connected,
    postgres_server,
    postgres_url,
)

__all__ = ["postgres_server", "postgres_url"]

DEADLINE_SECONDS = 30.0


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'licet.db'}"
    return str(request.getfixturevalue("postgres_url"))


def db_of(url: str) -> SqlDb:
    """A Db on the database of a URL."""
    return SqliteDb(db_url=url) if url.startswith("sqlite") else PostgresDb(url)


def wait_until(holds: Callable[[], bool], *, what: str) -> None:
    """Look again and again until a condition holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)


async def until_somebody_waits_for_a_lock(server: EmbeddedPostgres) -> None:
    """Let others work until one of them waits for another."""
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with connected(server, "postgres") as connection:
        await asyncio.to_thread(
            wait_until,
            lambda: connection.execute(waits).fetchone() is not None,
            what="somebody waits for a lock",
        )
