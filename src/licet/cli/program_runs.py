"""The runs of a program, in whichever of its databases: seen as whoever looks after it sees them.

No token is asked for: who can read the database reaches them anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from licet.cli.output import note
from licet.cli.program_db import note_if_new, place_of
from licet.cli.target import load_agent_os
from licet.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from licet.agent.agent import Agent
    from licet.db.base import Db, Store
    from licet.db.records import RunRecord
    from licet.db.work_records import QueueLimits

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRuns:
    """The databases that the processes of a program share, and what runs need of the program."""

    dbs: Sequence[Db]
    agents: Mapping[str, Agent]
    limits: QueueLimits

    def store(self, db: Db) -> Store:
        """Everybody's rows."""
        from licet.db.access import THE_SERVER

        return db.store(THE_SERVER)

    async def find(self, run_id: str) -> tuple[Db, RunRecord]:
        """A run, and where it is.

        Raises:
            NotFoundError: there is none.
        """
        for db in self.dbs:
            run = await self.store(db).find_run(run_id)
            if run is not None:
                return db, run
        places = " or ".join(place_of(db) for db in self.dbs)
        raise NotFoundError("run", run_id, f"there is no run {run_id!r} in {places}")

    async def living(self) -> frozenset[str]:
        """The processes that may be at work: nobody has said that they have ended."""
        executors = [await db.work().executors() for db in self.dbs]
        return frozenset(e.id for known in executors for e in known if e.ended is None)


def in_program_runs(target: str, work: Callable[[ProgramRuns], Awaitable[T]]) -> T:
    """Do something with the runs of a program, and answer what it answers.

    Args:
        target: where its AgentOS is, as ``load_agent_os`` takes it.
        work: is called with the databases open.

    Raises:
        ConfigurationError: there is no such program, or its processes share no database.
        StorageError: a database cannot be worked with.
    """
    from licet.db.in_memory import InMemoryDb

    agent_os = load_agent_os(target)
    dbs = [db for db in agent_os.dbs.values() if not isinstance(db, InMemoryDb)]
    if not dbs:
        raise ConfigurationError(
            f"{target}: its runs are in an InMemoryDb, of which each process has its own: those of "
            "a server cannot be seen from here; give AgentOS a SqliteDb or a PostgresDb"
        )
    if len(dbs) < len(agent_os.dbs):
        note("Runs in an InMemoryDb of the program are not among these: only its server has them.")
    for db in dbs:
        note_if_new(db)
    runs = ProgramRuns(dbs=dbs, agents=agent_os.agents, limits=agent_os.settings.run_queue.limits)

    async def worked() -> T:
        try:
            for db in dbs:
                await db.open()
            return await work(runs)
        finally:
            for db in dbs:
                await db.close()

    return asyncio.run(worked())
