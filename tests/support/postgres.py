"""A real PostgreSQL for tests: the embedded one, gone without a trace when the tests end."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from licet.db import embedded

ROLE = "tests"
ROW_ROLE = "licet_rows"


class EmbeddedPostgres(embedded.EmbeddedPostgres):
    """A server whose data goes with the block. It is not synced: tests end before power does."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        super().__init__(folder, port=port, settings={"fsync": "off"})

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self.home is not None:
            shutil.rmtree(self.home)


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A new folder that the server's user reaches, also where the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="licet-tests-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One server for the session of one test process, with a role and a database ``tests``."""
    with reachable_folder() as folder, EmbeddedPostgres(folder / "postgres") as server:
        server.create_role_and_database(ROLE)
        yield server


@pytest.fixture
def postgres_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a new and empty schema."""
    with fresh_schema(postgres_server) as url:
        yield url


@contextmanager
def fresh_schema(server: EmbeddedPostgres) -> Iterator[str]:
    """A schema of its own, which everything that connects with the URL finds first."""
    name = f"s{uuid.uuid4().hex}"
    with connected(server) as connection:
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(name)))
    try:
        yield f"{server.url(ROLE)}&options={quote(f'-csearch_path={name}')}"
    finally:
        with connected(server) as connection:
            connection.execute(SQL("DROP SCHEMA {} CASCADE").format(Identifier(name)))


@contextmanager
def fresh_database(server: EmbeddedPostgres) -> Iterator[str]:
    """A database of its own, in which what is built does not wait for others' transactions."""
    name = f"d{uuid.uuid4().hex}"
    with connected(server, "postgres") as connection:
        connection.execute(
            SQL("CREATE DATABASE {} OWNER {}").format(Identifier(name), Identifier(ROLE))
        )
    try:
        yield server.url(ROLE, database=name)
    finally:
        with connected(server, "postgres") as connection:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@contextmanager
def connected(
    server: embedded.EmbeddedPostgres, role: str = ROLE
) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A plain connection, each statement a transaction."""
    parameters: dict[str, Any] = {**server.parameters(role)}
    if role == "postgres":
        parameters["dbname"] = "postgres"
    with psycopg.connect(**parameters, autocommit=True) as connection:
        yield connection
