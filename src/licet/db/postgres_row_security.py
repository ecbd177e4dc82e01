"""PostgreSQL's row-level security: what it needs in a database is set up and looked after here.

Transactions run as a role that owns nothing and that policies bind; the policies let it reach the
rows that the transaction says (``reach``). The owner of the tables is not bound: servers that do
not ask for row-level security go on as before.
Source: PostgreSQL documentation, chapter "Data Definition", section "Row Security Policies".
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from licet.db.migrations import VERSION_TABLE
from licet.db.reach import EVERYTHING, OWNED_BY, SETTING
from licet.errors import ConfigurationError

if TYPE_CHECKING:
    import psycopg

GUARDED = (
    "licet_sessions",
    "licet_runs",
    "licet_jobs",
    "licet_once",
    "licet_approvals",
    "licet_schedules",
    "licet_schedule_runs",
)
"""The tables whose rows have owners, in the order in which writes lock them."""

_WHAT = "PostgresDb(row_level_security=True)"
_ROLE_NAME = re.compile(r"(?!pg_|none$|public$)[a-z_][a-z0-9_]{0,62}")
_ALL_PRIVILEGES = "SELECT, INSERT, UPDATE, DELETE"
_ATTEMPTS = 2
_TRIAL_LOCK_MILLISECONDS = 2000

# The setting is read once a statement, not once a row. A CASE, since the planner takes it that half
# of the rows pass one. Of = or IN it takes it that hardly any do: for each page of a list it would
# fetch and sort all that an owner has.
_REACHED = (
    f"CASE (SELECT current_setting('{SETTING}', true)) "
    f"WHEN '{EVERYTHING}' THEN true WHEN '{OWNED_BY}' || owner THEN true ELSE false END"
)

_LOGIN = """
SELECT quote_ident(session_user), bool_or(rolsuper)
FROM pg_roles WHERE rolname IN (session_user, current_user)
"""
_ROLE = """
SELECT rolsuper, rolbypassrls, pg_has_role(session_user, oid, %(may_become)s)
FROM pg_roles WHERE rolname = %(role)s
"""
_TABLES = """
SELECT c.oid, c.relname::text, format('%%I.%%I', n.nspname, c.relname), t.privileges,
       quote_ident(n.nspname), has_schema_privilege(%(role)s, n.oid, 'USAGE'),
       (SELECT bool_and(has_table_privilege(%(role)s, c.oid, p))
        FROM unnest(string_to_array(t.privileges, ', ')) AS p),
       c.relrowsecurity,
       EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = %(role)s)
FROM unnest(%(tables)s::text[], %(privileges)s::text[])
     WITH ORDINALITY AS t (name, privileges, place)
JOIN pg_class AS c ON c.oid = to_regclass(t.name)
JOIN pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY t.place
"""
_AS_THE_ROLE = """
SELECT to_regclass(name) IS NOT DISTINCT FROM oid::regclass, row_security_active(oid)
FROM unnest(%(oids)s::oid[], %(tables)s::text[]) AS t (oid, name)
"""
_WAYS_ROUND = """
SELECT polname, polrelid::regclass::text FROM pg_policy
WHERE polrelid = ANY (%(oids)s::oid[]) AND polpermissive AND polname <> %(role)s
AND EXISTS (SELECT FROM unnest(polroles) AS r (oid)
            WHERE r.oid = 0 OR pg_has_role(%(role)s, r.oid, 'USAGE'))
"""


class _Table(NamedTuple):
    oid: int
    name: str
    qualified: str
    privileges: str
    schema: str
    schema_is_open: bool
    is_granted: bool
    is_enabled: bool
    has_policy: bool


def check_role_name(role: str) -> str:
    """A name that stands in SQL as it is.

    Raises:
        ConfigurationError: it is none, or means something else to PostgreSQL.
    """
    if _ROLE_NAME.fullmatch(role) is None:
        raise ConfigurationError(
            f"PostgresDb: row_role {role!r} cannot be used; expected small letters, digits and "
            "'_', at most 63, not beginning with a digit or 'pg_', and not 'none' or 'public'"
        )
    return role


def set_up_row_security(
    connection: psycopg.Connection[tuple[Any, ...]], role: str, *, lock: int
) -> None:
    """Make what is missing for ``role``, and refuse what would not hold.

    Needs the newest tables. Changes nothing, and takes no lock, where nothing is missing.

    Args:
        connection: an autocommitting connection of the login of the database.
        role: what transactions will run as.
        lock: the advisory lock that migrations take.

    Raises:
        ConfigurationError: it would not hold, or the login may not do what is missing. The message
            says what to do.
        psycopg.Error: the database could not do it.
    """
    _RowSecurity(connection, role, lock).set_up()


def row_security_refusal(
    connection: psycopg.Connection[tuple[Any, ...]], role: str, *, lock: int, has_tables: bool
) -> str | None:
    """Why setting it up would be refused; None: it would hold.

    It is set up, and taken back. ``has_tables``: the newest tables are there; else only the roles
    are looked at. The other arguments are those of ``set_up_row_security``.

    Raises:
        psycopg.Error: the database could not say, or others have locked its tables for too long.
    """
    trial = _RowSecurity(connection, role, lock)
    try:
        with connection.transaction(force_rollback=True):
            # Whoever waits for a lock keeps others waiting behind it.
            connection.execute(f"SET LOCAL lock_timeout = {_TRIAL_LOCK_MILLISECONDS}".encode())
            trial.set_up(has_tables=has_tables)
    except ConfigurationError as error:
        return str(error)
    return None


@dataclass(frozen=True, slots=True)
class _RowSecurity:
    connection: psycopg.Connection[tuple[Any, ...]]
    role: str
    lock: int

    def set_up(self, *, has_tables: bool = True) -> None:
        login, is_superuser = self._rows(_LOGIN)[0]
        if is_superuser:
            raise ConfigurationError(
                f"{_WHAT}: it is connected as {login}, a superuser, whom nothing in a database "
                "binds: connect as a role that is none"
            )
        self._make(lambda: self._missing_of_the_role(login), self._refuse_a_mighty_role)
        if has_tables:
            self._make(self._missing_of_the_tables, self._refuse_ways_round)

    def _make(self, missing: Callable[[], list[str]], check: Callable[[], None]) -> None:
        """Run what is missing, in one transaction; what is refused leaves nothing behind."""
        from psycopg import errors

        # A role is the whole server's and the lock is this database's: another one can be faster.
        refusals = (errors.InsufficientPrivilege, errors.DuplicateObject, errors.UniqueViolation)
        for _ in range(_ATTEMPTS):
            if not missing():
                break
            with contextlib.suppress(*refusals), self.connection.transaction():
                self.connection.execute("SELECT pg_advisory_xact_lock(%s)", (self.lock,))
                # Asked again: whoever held the lock before may have done the work.
                for statement in missing():
                    self.connection.execute(statement.encode())
                # A GRANT of what one may not grant can be no more than a warning.
                if not missing():
                    check()
        if statements := missing():
            told = "".join(f"\n    {statement};" for statement in statements)
            raise ConfigurationError(
                f"{_WHAT}: an administrator of the database has to run what the role of db_url "
                f"may not:{told}\nRoles are those of the whole server: where {self.role} serves "
                "another installation, give this one a row_role of its own"
            )
        check()

    def _missing_of_the_role(self, login: str) -> list[str]:
        # Before PostgreSQL 16 a member may always become what it is a member of.
        may_become = "SET" if self.connection.info.server_version >= 160000 else "MEMBER"  # noqa: PLR2004
        found = self._rows(_ROLE, may_become=may_become)
        missing = [] if found else [f"CREATE ROLE {self.role} NOLOGIN"]
        if not found or not found[0][2]:
            missing.append(f"GRANT {self.role} TO {login}")
        return missing

    def _missing_of_the_tables(self) -> list[str]:
        tables = self._tables()
        # Migrations add tables: what starts with new ones grants them, whoever has made them.
        missing = [
            f"GRANT {table.privileges} ON {table.qualified} TO {self.role}"
            for table in tables
            if not table.is_granted
        ]
        if not tables[0].schema_is_open:
            missing.insert(0, f"GRANT USAGE ON SCHEMA {tables[0].schema} TO {self.role}")
        for table in tables:
            if table.name in GUARDED and not table.has_policy:
                missing.append(
                    f"CREATE POLICY {self.role} ON {table.qualified} TO {self.role} "
                    f"USING ({_REACHED})"
                )
            if table.name in GUARDED and not table.is_enabled:
                missing.append(f"ALTER TABLE {table.qualified} ENABLE ROW LEVEL SECURITY")
        return missing

    def _refuse_a_mighty_role(self) -> None:
        is_superuser, bypasses, _ = self._rows(_ROLE, may_become="MEMBER")[0]
        if is_superuser or bypasses:
            what = "is a superuser" if is_superuser else "has BYPASSRLS"
            raise ConfigurationError(
                f"{_WHAT}: the role {self.role} {what}, so that no policy binds it: run ALTER ROLE "
                f"{self.role} NOSUPERUSER NOBYPASSRLS, or give another row_role"
            )

    def _refuse_ways_round(self) -> None:
        tables = self._tables()
        guarded = [table.oid for table in tables if table.name in GUARDED]
        with self.connection.transaction(force_rollback=True):
            self.connection.execute(f"SET LOCAL ROLE {self.role}".encode())
            seen = self._rows(
                _AS_THE_ROLE, oids=[t.oid for t in tables], tables=[t.name for t in tables]
            )
        for table, (is_found, is_bound) in zip(tables, seen, strict=True):
            if not is_found:
                raise ConfigurationError(
                    f"{_WHAT}: the role {self.role} does not find {table.qualified}: name its "
                    'schema in search_path ("$user" is another schema for each role)'
                )
            if table.oid in guarded and not is_bound:
                raise ConfigurationError(
                    f"{_WHAT}: no policy binds the role {self.role} on {table.qualified}, since "
                    "it is the owner or a member of the owner: give another row_role"
                )
        for policy, qualified in self._rows(_WAYS_ROUND, oids=guarded):
            raise ConfigurationError(
                f"{_WHAT}: the policy {policy!r} on {qualified} lets the role {self.role} reach "
                "more rows: drop it, make it RESTRICTIVE, or give another row_role"
            )

    def _tables(self) -> list[_Table]:
        from licet.db.tables import metadata

        # A login that owns nothing, and is but a member of the role, has to read the revision too.
        wanted = dict.fromkeys([t.name for t in metadata.sorted_tables], _ALL_PRIVILEGES)
        wanted[VERSION_TABLE] = "SELECT"
        found = self._rows(_TABLES, tables=list(wanted), privileges=list(wanted.values()))
        return [_Table(*row) for row in found]

    def _rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        known = {"role": self.role, **parameters}
        return self.connection.execute(query.encode(), known).fetchall()
