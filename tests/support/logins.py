"""Roles of a PostgreSQL server that log in, with whatever rights a test gives to them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from tests.support.postgres import ROLE, EmbeddedPostgres


@dataclass(frozen=True)
class Login:
    """Somebody who connects, with a schema of their own."""

    name: str
    url: str
    schema: str

    def finding(self, search_path: str) -> str:
        """The URL, with another search path."""
        old, new = (quote(f"-csearch_path={path}") for path in (self.schema, search_path))
        return self.url.replace(old, new)


@pytest.fixture
def superuser(
    postgres_server: EmbeddedPostgres,
) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """The superuser, in the database of the tests."""
    known: dict[str, Any] = {**postgres_server.parameters("postgres", database="tests")}
    with psycopg.connect(**known, autocommit=True) as connection:
        yield connection


@pytest.fixture
def new_role(superuser: psycopg.Connection[tuple[Any, ...]]) -> Iterator[Callable[[str], str]]:
    """Makes roles with attributes, which are gone after the test. "": only the name, to be made."""
    names: list[str] = []

    def make(attributes: str) -> str:
        names.append(f"r{uuid.uuid4().hex}")
        if attributes:
            superuser.execute(f"CREATE ROLE {names[-1]} {attributes}".encode())
        return names[-1]

    yield make
    # Those first that others were granted: who made a role granted it.
    for name in reversed(names):
        if superuser.execute("SELECT to_regrole(%s)", (name,)).fetchone() != (None,):
            superuser.execute(f"DROP OWNED BY {name} CASCADE".encode())
            superuser.execute(f"DROP ROLE {name}".encode())


@pytest.fixture
def new_login(
    superuser: psycopg.Connection[tuple[Any, ...]],
    new_role: Callable[[str], str],
    postgres_server: EmbeddedPostgres,
) -> Callable[[str], Login]:
    """Makes logins with attributes; each owns a schema, which its connections find first."""

    def make(attributes: str = "") -> Login:
        name = new_role(f"LOGIN PASSWORD 'secret' {attributes}")
        superuser.execute(f"GRANT CONNECT ON DATABASE tests TO {name}".encode())
        superuser.execute(f"CREATE SCHEMA {name} AUTHORIZATION {name}".encode())
        right = postgres_server.parameters(ROLE)["password"]
        url = postgres_server.url(ROLE).replace(f"{ROLE}:{right}@", f"{name}:secret@")
        return Login(name, f"{url}&options={quote(f'-csearch_path={name}')}", name)

    return make


def ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Ask as the login."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        return connection.execute(sql.encode()).fetchall()


def do(url: str, *statements: str) -> None:
    """Do something as the login."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
