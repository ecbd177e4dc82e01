"""Roles and databases of an embedded server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from licet.db.embedded.passwords import Passwords

if TYPE_CHECKING:
    import psycopg


def create_role_and_database(
    connection: psycopg.Connection[tuple[Any, ...]],
    passwords: Passwords,
    name: str,
    password: str | None,
) -> None:
    """A role that is no superuser, and a database of that name which it owns.

    What exists stays; a password that is given replaces the one before.
    """
    from psycopg.sql import SQL, Identifier, Literal

    role = Identifier(name)
    known = passwords.get(name)
    if known is None or password not in (None, known):
        secret = password or known or passwords.make(name)
        # Digested here, so that no log of the server can hold it.
        digested = connection.pgconn.encrypt_password(
            secret.encode(), name.encode(), b"scram-sha-256"
        ).decode()
        exists = _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", name)
        connection.execute(
            SQL("{} ROLE {} LOGIN NOSUPERUSER PASSWORD {}").format(
                SQL("ALTER" if exists else "CREATE"), role, Literal(digested)
            )
        )
        passwords.put(name, secret)
    if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", name):
        connection.execute(SQL("CREATE DATABASE {} OWNER {}").format(role, role))
        connection.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(role))


def create_role_within(
    connection: psycopg.Connection[tuple[Any, ...]], name: str, member: str
) -> None:
    """A role that cannot log in, and that ``member`` can become."""
    from psycopg.sql import SQL, Identifier

    role = Identifier(name)
    if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", name):
        connection.execute(SQL("CREATE ROLE {} NOLOGIN").format(role))
    connection.execute(SQL("GRANT {} TO {}").format(role, Identifier(member)))


def _exists(connection: psycopg.Connection[tuple[Any, ...]], query: str, name: str) -> bool:
    return connection.execute(query.encode(), (name,)).fetchone() is not None
