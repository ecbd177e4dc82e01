"""Whether the databases fit how many processes there are, and where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.db.steps_database import Lasting
from licet.doctor.deployment import Deployment
from licet.doctor.finding import Finding, Kind, Level

STORAGE_SPLIT = Kind("storage_split", Level.PROBLEM)
STORAGE_OF_ONE_MACHINE = Kind("storage_of_one_machine", Level.PROBLEM)
STORAGE_FORGETS = Kind("storage_forgets", Level.WARNING)
DURABLE_FORGETS = Kind("durable_forgets", Level.PROBLEM)

_POSTGRES = "give AgentOS a PostgresDb with the db_url of a server that all of them reach"


class StorageCheck:
    """Looks at the kinds of databases; opens none."""

    about = "storage for so many processes"
    kinds = (STORAGE_SPLIT, STORAGE_OF_ONE_MACHINE, STORAGE_FORGETS, DURABLE_FORGETS)

    async def look(self, deployment: Deployment) -> Sequence[Finding]:
        """Databases that not all processes share, or that end with one."""
        dbs = deployment.agent_os.dbs.values()
        return [
            *(finding for db in dbs for finding in _of(db, deployment)),
            *_durable(deployment),
        ]


def place_of(db: Db) -> str:
    """Which database it is, for people; without any secret."""
    return f"database {db.id!r}"


def _of(db: Db, deployment: Deployment) -> Iterator[Finding]:
    if isinstance(db, InMemoryDb):
        if deployment.processes > 1:
            yield Finding(
                kind=STORAGE_SPLIT,
                where=place_of(db),
                what=f"each of {deployment.processes} processes has its own: sessions are found by "
                "one of them, and revocations reach no other",
                remedy="give AgentOS a SqliteDb for one machine, a PostgresDb for many",
            )
        elif deployment.is_exposed:
            yield Finding(
                kind=STORAGE_FORGETS,
                where=place_of(db),
                what="all that it holds ends with the process: after a restart what was revoked is "
                "good again, and the audit trail is gone",
                remedy="give AgentOS a SqliteDb or a PostgresDb",
            )
    elif deployment.replicas > 1 and (kind := _of_one_machine(db)) is not None:
        yield Finding(
            kind=STORAGE_OF_ONE_MACHINE,
            where=place_of(db),
            what=f"{kind}, of which each of {deployment.replicas} machines has its own: sessions "
            "are found on one of them, and revocations reach no other",
            remedy=_POSTGRES,
        )


def _of_one_machine(db: Db) -> str | None:
    """What a database is that no other machine reaches; None: others do, or nobody can say."""
    if isinstance(db, SqliteDb):
        return "it is a SQLite file"
    is_embedded = isinstance(db, PostgresDb) and db.is_embedded
    return "it is the PostgreSQL that the program starts itself" if is_embedded else None


def _durable(deployment: Deployment) -> Iterator[Finding]:
    agent_os = deployment.agent_os
    for agent in agent_os.agents.values():
        db = agent.db or agent_os.db
        if agent.durable and not isinstance(db, Lasting):
            yield Finding(
                kind=DURABLE_FORGETS,
                where=f"agent {agent.id!r}",
                what=f"its runs are to outlive the process, and its database ({type(db).__name__}) "
                "does not: no process starts",
                remedy="give it a SqliteDb or a PostgresDb, or leave durable=True out",
            )
