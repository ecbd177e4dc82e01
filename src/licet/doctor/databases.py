"""Each database as it is: reached, of the right version, with the rights and the room it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from licet.authn.issuer import DEFAULT_LEEWAY_SECONDS
from licet.db.base import Db
from licet.db.examination import DatabaseState, ServerState
from licet.db.migrating import knows
from licet.db.migrations import HEAD
from licet.db.postgres import PostgresDb
from licet.db.sql_db import SqlDb
from licet.db.steps_database import Lasting
from licet.doctor.deployment import Deployment
from licet.doctor.finding import Finding, Kind, Level
from licet.doctor.storage import place_of
from licet.errors import ConfigurationError, StorageError

DATABASE_UNREACHABLE = Kind("database_unreachable", Level.PROBLEM)
TABLES_NEWER = Kind("tables_newer", Level.PROBLEM)
TABLES_OLDER = Kind("tables_older", Level.WARNING)
RIGHTS_MISSING = Kind("rights_missing", Level.PROBLEM)
ROW_SECURITY_VOID = Kind("row_security_void", Level.PROBLEM)
DATABASE_SUPERUSER = Kind("database_superuser", Level.WARNING)
DATABASE_CLOCK = Kind("database_clock", Level.WARNING)
CONNECTIONS_TOO_FEW = Kind("connections_too_few", Level.PROBLEM)


class DatabasesCheck:
    """Connects to each database, and asks; opens, makes and migrates none."""

    about = "databases"
    kinds = (
        DATABASE_UNREACHABLE,
        TABLES_NEWER,
        TABLES_OLDER,
        RIGHTS_MISSING,
        ROW_SECURITY_VOID,
        DATABASE_SUPERUSER,
        DATABASE_CLOCK,
        CONNECTIONS_TOO_FEW,
    )

    async def look(self, deployment: Deployment) -> Sequence[Finding]:
        """What keeps a server from working with its databases."""
        dbs = [db for db in deployment.agent_os.dbs.values() if isinstance(db, SqlDb)]
        found = await asyncio.gather(*(_of(db, deployment) for db in dbs))
        return [finding for findings in found for finding in findings]


async def _of(db: SqlDb, deployment: Deployment) -> Sequence[Finding]:
    try:
        state = await db.examine(now=deployment.now)
    except (StorageError, ConfigurationError) as error:
        return [_unreachable(db, error)]
    if state is None:
        return ()
    found = list(_of_tables(db, state))
    if state.server is not None:
        found += _of_login(db, state.server)
        found += _of_clock(db, state.server, deployment)
        found += _of_room(db, state.server, deployment)
    return found


def _unreachable(db: Db, error: StorageError | ConfigurationError) -> Finding:
    return Finding(
        kind=DATABASE_UNREACHABLE,
        where=place_of(db),
        what=str(error),
        remedy="see to the database, the way to it from this machine, and what the program says of "
        "it: until then no process starts",
    )


def _of_tables(db: Db, state: DatabaseState) -> Iterator[Finding]:
    revision = state.revision
    if revision is None or revision == HEAD:
        return
    if knows(revision):
        yield Finding(
            kind=TABLES_OLDER,
            where=place_of(db),
            what=f"its tables have revision {revision}, and this version makes {HEAD} of them when "
            "it starts: processes of an older version that still run may fail then, and cannot be "
            "started again",
            remedy="back the database up, then start one process of this version before the others",
        )
    else:
        yield Finding(
            kind=TABLES_NEWER,
            where=place_of(db),
            what=f"its tables have revision {revision!r}, which this version does not know (it "
            f"knows up to {HEAD}): no process starts",
            remedy="upgrade licet here, or use another database",
        )


def _of_login(db: Db, server: ServerState) -> Iterator[Finding]:
    if server.missing_rights:
        yield Finding(
            kind=RIGHTS_MISSING,
            where=place_of(db),
            what=f"the role {server.login!r} lacks rights: {'; '.join(server.missing_rights)}",
            remedy="have an administrator of the database grant them",
        )
    if server.row_security_refusal is not None:
        yield Finding(
            kind=ROW_SECURITY_VOID,
            where=place_of(db),
            what=server.row_security_refusal,
            remedy="the message says what to change: until then no process starts",
        )
    elif server.is_superuser:
        yield Finding(
            kind=DATABASE_SUPERUSER,
            where=place_of(db),
            what=f"it is connected as {server.login!r}, a superuser: whoever had SQL of their own "
            "run would have the whole server, and its machine's files",
            remedy="connect as a role of its own, which owns the schema and nothing else",
        )


def _of_clock(db: Db, server: ServerState, deployment: Deployment) -> Iterator[Finding]:
    trust = deployment.agent_os.trust
    issuers = () if trust is None else trust.issuers
    leeway_seconds = min(
        (issuer.leeway_seconds for issuer, _ in issuers), default=DEFAULT_LEEWAY_SECONDS
    )
    if server.skew_seconds > leeway_seconds:
        yield Finding(
            kind=DATABASE_CLOCK,
            where=place_of(db),
            what=f"its clock and ours are {server.skew_seconds:.0f} seconds apart; "
            f"{leeway_seconds:g} are allowed for",
            remedy="set both clocks by NTP: if ours is the wrong one, tokens are judged by it",
        )


def _of_room(db: Db, server: ServerState, deployment: Deployment) -> Iterator[Finding]:
    lasting = [one for one in deployment.agent_os.dbs.values() if isinstance(one, Lasting)]
    each = PostgresDb.connections(durable_runs=db is lasting[0])
    needed = each * deployment.processes
    if needed > server.max_connections:
        yield Finding(
            kind=CONNECTIONS_TOO_FEW,
            where=place_of(db),
            what=f"{deployment.processes} processes have up to {each} connections each, {needed} "
            f"together, and the role {server.login!r} gets {server.max_connections}",
            remedy="raise max_connections of the server (or CONNECTION LIMIT of the role or the "
            "database), or serve with fewer processes",
        )
