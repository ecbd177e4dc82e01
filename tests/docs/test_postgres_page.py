"""The programs of the PostgreSQL page, on a real server."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from licet.db.base import Access
from licet.db.postgres import PostgresDb
from tests.contract.rows import run, stored
from tests.docs.snippets import steps
from tests.support.postgres import EmbeddedPostgres, postgres_server

__all__ = ["postgres_server"]

PAGE = Path(__file__).parents[2] / "docs" / "postgres.md"
BLOCKS = {step.what: step.text for step in steps(PAGE) if step.kind == "file"}
(OUTPUT,) = (step.text for step in steps(PAGE) if step.kind == "output")


def statements(file: str) -> list[str]:
    return [line.strip() for line in BLOCKS[file].split(";") if line.strip()]


@pytest.fixture
def login(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A role as the page has it before, with a database of its own."""
    name = f"l{uuid.uuid4().hex}"
    postgres_server.create_role_and_database(name)
    yield name
    known: dict[str, Any] = {**postgres_server.parameters("postgres")}
    with psycopg.connect(**known, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        connection.execute(f"DROP ROLE {name}".encode())


async def test_the_page_is_followed_from_the_role_to_the_end(
    login: str, postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    known: dict[str, Any] = {**postgres_server.parameters("postgres", database=login)}
    with psycopg.connect(**known, autocommit=True) as administrator:
        create, grant = statements("role.sql")
        if administrator.execute("SELECT to_regrole('licet_rows')").fetchone() == (None,):
            administrator.execute(create.encode())
        assert grant.endswith(" TO licet")
        administrator.execute(grant.replace(" TO licet", f" TO {login}").encode())

    url = postgres_server.url(login)
    (tmp_path / "forgetful.py").write_text(BLOCKS["forgetful.py"])
    done = subprocess.run(
        [sys.executable, "forgetful.py"],
        cwd=tmp_path,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == OUTPUT

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as owner:
        for statement in statements("leave.sql"):
            owner.execute(statement.encode())
        left = "SELECT (SELECT count(*) FROM pg_policy), bool_or(relrowsecurity) FROM pg_class"
        assert owner.execute(left).fetchone() == (0, False)
    # And back again.
    db = PostgresDb(url, row_level_security=True)
    await stored(db.store(Access("alice")), run())
    await db.close()
