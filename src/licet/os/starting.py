"""Starting: what has to hold, be read and be open before the first request is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

from licet.agent.agent import Agent
from licet.db.base import Db
from licet.db.steps_database import Lasting
from licet.errors import ConfigurationError
from licet.os.auditing import Auditing
from licet.os.policy import Policy, check_against_routes
from licet.os.table import RouteTable
from licet.os.trust import Trust


def check_routes(table: RouteTable, policy: Policy | None, trust: Trust | None) -> None:
    """Refuse rules that guard nothing, or could never be met.

    Raises:
        ConfigurationError: names them.
    """
    unbound = table.unbound()
    if unbound:
        raise ConfigurationError(
            f"scope_mappings and public_paths name routes that do not exist: {', '.join(unbound)}"
        )
    if policy is not None and trust is not None:
        issuers = [issuer for issuer, _ in trust.issuers]
        check_against_routes(policy, table.entries(), issuers=issuers)


def check_durable(agents: Iterable[Agent], db_of: Callable[[Agent], Db]) -> None:
    """Refuse agents whose runs are to outlive the process, where nothing of theirs does.

    Raises:
        ConfigurationError: names the agent.
    """
    for agent in agents:
        if agent.durable and not isinstance(db_of(agent), Lasting):
            raise ConfigurationError(
                f"agent {agent.id!r} is durable, but its database ({type(db_of(agent)).__name__}) "
                "ends with the process; give it a SqliteDb or a PostgresDb"
            )


async def start_parts(
    stack: AsyncExitStack, *, dbs: Iterable[Db], trust: Trust | None, auditing: Auditing
) -> None:
    """Open databases, read the revocations and the keys, get the audit trail ready.

    ``stack`` closes them in the opposite order.

    Raises:
        StorageError: a database cannot be used.
    """
    for db in dbs:
        await db.open()
        stack.push_async_callback(db.close)
    if trust is not None:
        stack.push_async_callback(trust.close)
        await trust.start()
    stack.push_async_callback(auditing.close)
    await auditing.start()
