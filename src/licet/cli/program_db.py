"""The database of a program: what is written there reaches every process that serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from licet.cli.output import note
from licet.cli.target import load_agent_os
from licet.errors import ConfigurationError

if TYPE_CHECKING:
    from licet.authn.issuer import TrustedIssuer
    from licet.authn.key_source import KeySource
    from licet.db.base import Db
    from licet.db.trust_base import TrustStore
    from licet.os.agent_os import AgentOS
    from licet.os.policy import Policy

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramDb:
    """Where a program keeps revocations and service accounts, and whom it trusts."""

    db: Db
    policy: Policy
    issuers: Sequence[tuple[TrustedIssuer, KeySource]]
    outlives_seconds: float

    @property
    def place(self) -> str:
        """Which database it is, for people; without any secret."""
        return place_of(self.db)

    @property
    def store(self) -> TrustStore:
        """Revocations and service accounts."""
        return self.db.trust()


def in_program_db(target: str, work: Callable[[ProgramDb], Awaitable[T]]) -> T:
    """Do something in the database of a program, and answer what it answers.

    Args:
        target: where its AgentOS is, as ``load_agent_os`` takes it.
        work: is called with the database open.

    Raises:
        ConfigurationError: there is no such program, it verifies no tokens, or its database is
            one that no other process shares.
        StorageError: the database cannot be worked with.
    """
    program_db = _program_db(load_agent_os(target), target)
    note_if_new(program_db.db)

    async def worked() -> T:
        await program_db.db.open()
        try:
            return await work(program_db)
        finally:
            await program_db.db.close()

    return asyncio.run(worked())


def place_of(db: Db) -> str:
    """Which database it is, for people; without any secret."""
    file = _file(db)
    return f"the database {db.id!r}" if file is None else f"the database {str(file)!r}"


def note_if_new(db: Db) -> None:
    """Say where a file is not there: it is about to be made."""
    file = _file(db)
    if file is not None and not file.exists():
        # A relative name is another file in another folder: nothing would come of it, silently.
        note(f"There was no {str(file)!r}: is this the folder in which the server is started?")


def _program_db(agent_os: AgentOS, target: str) -> ProgramDb:
    from licet.db.in_memory import InMemoryDb

    if agent_os.policy is None or agent_os.trust is None:
        raise ConfigurationError(
            f"{target}: authorization is off, so no token is looked at there; "
            "set authorization=True"
        )
    if isinstance(agent_os.db, InMemoryDb):
        raise ConfigurationError(
            f"{target}: its database is an InMemoryDb, of which each process has its own: nothing "
            "that is written here would reach a server; give AgentOS a SqliteDb or a PostgresDb"
        )
    return ProgramDb(
        db=agent_os.db,
        policy=agent_os.policy,
        issuers=agent_os.trust.issuers,
        outlives_seconds=agent_os.trust.outlives_seconds,
    )


def _file(db: Db) -> Path | None:
    from licet.db.sqlite import SqliteDb

    return db.db_file if isinstance(db, SqliteDb) else None
