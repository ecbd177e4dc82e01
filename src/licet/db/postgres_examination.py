"""Asking a PostgreSQL server about itself and about who connects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from licet.db.examination import ServerState, distance
from licet.db.migrations import HEAD, VERSION_TABLE
from licet.db.postgres_row_security import row_security_refusal

if TYPE_CHECKING:
    import psycopg

_LOGIN = """
SELECT session_user::text, bool_or(rolsuper), current_setting('transaction_read_only')::bool
FROM pg_roles WHERE rolname IN (session_user, current_user)
"""
_CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"
_CONNECTIONS = """
SELECT current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0),
       rolconnlimit, datconnlimit
FROM pg_roles, pg_database WHERE rolname = session_user AND datname = current_database()
"""
_PLACES = """
SELECT current_schema()::text, has_schema_privilege(current_schema(), 'CREATE'),
       has_database_privilege(current_database(), 'CREATE'),
       EXISTS (SELECT FROM pg_namespace WHERE nspname = %(steps)s)
"""
_TABLES = """
SELECT c.relname::text, pg_has_role(c.relowner, 'USAGE'),
       (SELECT string_agg(p, ', ') FROM unnest(%(privileges)s::text[]) AS p
        WHERE NOT has_table_privilege(c.oid, p))
FROM unnest(%(tables)s::text[]) AS t (name) JOIN pg_class AS c ON c.oid = to_regclass(t.name)
"""
_TO_WRITE = "to write at all: the server is a standby, or default_transaction_read_only is on"
_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")


class _Places(NamedTuple):
    schema: str | None
    may_make_tables: bool
    may_make_schemas: bool
    has_steps: bool


class _Table(NamedTuple):
    name: str
    is_owned: bool
    missing: str | None


def examine(
    connection: psycopg.Connection[tuple[Any, ...]],
    *,
    revision: str | None,
    row_role: str | None,
    steps_schema: Callable[[str], str],
    lock: int,
    now: Callable[[], float],
) -> ServerState:
    """What a server says.

    Args:
        connection: an autocommitting connection of the login of the database.
        revision: of the tables; None: there are none.
        row_role: whom row-level security binds; None: it is not asked for.
        steps_schema: gives, for the schema of the tables, that of the steps of durable runs.
        lock: the advisory lock that migrations take.
        now: gives epoch seconds.

    Raises:
        psycopg.Error: it could not answer.
    """
    login, is_superuser, is_read_only = _row(connection, _LOGIN)
    refusal = None
    if row_role is not None and not is_read_only:
        refusal = row_security_refusal(connection, row_role, lock=lock, has_tables=revision == HEAD)
    return ServerState(
        login=login,
        is_superuser=is_superuser,
        missing_rights=(_TO_WRITE,)
        if is_read_only
        else tuple(_missing(connection, revision, steps_schema, by_login=row_role is None)),
        row_security_refusal=refusal,
        skew_seconds=_skew_seconds(connection, now),
        max_connections=min(limit for limit in _row(connection, _CONNECTIONS) if limit >= 0),
    )


def _missing(
    connection: psycopg.Connection[tuple[Any, ...]],
    revision: str | None,
    steps_schema: Callable[[str], str],
    *,
    by_login: bool,
) -> Iterator[str]:
    """The rights that are missing. ``by_login``: rows are reached by the login itself."""
    (schema,) = _row(connection, "SELECT current_schema()::text")
    if schema is None:
        yield "to use a schema of its search_path: none of them exists, or it may use none"
        return
    steps = steps_schema(schema)
    places = _Places(*_row(connection, _PLACES, steps=steps))
    is_migrated = revision == HEAD
    if not is_migrated and not places.may_make_tables:
        yield f"to create tables in the schema {schema!r}"
    for table in _tables(connection):
        if not is_migrated and not table.is_owned:
            yield f"to change the table {table.name}, whose owner it is not"
        if is_migrated and by_login and table.missing is not None:
            yield f"{table.missing} on {table.name}"
    if not places.has_steps and not places.may_make_schemas:
        yield f"to create the schema {steps!r}, which durable runs need"


def _tables(connection: psycopg.Connection[tuple[Any, ...]]) -> list[_Table]:
    from licet.db.tables import metadata

    names = [VERSION_TABLE, *(table.name for table in metadata.sorted_tables)]
    wanted = {"tables": names, "privileges": list(_PRIVILEGES)}
    return [_Table(*row) for row in connection.execute(_TABLES.encode(), wanted).fetchall()]


def _skew_seconds(
    connection: psycopg.Connection[tuple[Any, ...]], now: Callable[[], float]
) -> float:
    asked_at = now()
    (theirs,) = _row(connection, _CLOCK)
    return distance(theirs, asked_at, now())


def _row(
    connection: psycopg.Connection[tuple[Any, ...]], query: str, **parameters: Any
) -> tuple[Any, ...]:
    found = connection.execute(query.encode(), parameters or None).fetchone()
    # None of these queries can answer nothing: each is of the session itself.
    assert found is not None  # noqa: S101 - as said
    return found
