"""Starting: what has to hold, be read and be open before the first request is answered.

And what ends, in which order, after the last one.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack

from licet.db.base import Db
from licet.errors import ConfigurationError
from licet.os.auditing import Auditing
from licet.os.policy import Policy, check_against_routes
from licet.os.server import Server
from licet.os.table import RouteTable
from licet.os.trust import Trust
from licet.runs.cancel_watch import CancelWatch

_LAST_WORDS_SECONDS = 1.0


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


def start_runs(stack: AsyncExitStack, server: Server) -> None:
    """Begin to hear which runs others were asked to cancel.

    When ``stack`` ends, the runs do first; then the streams, which say so.
    """
    watch = CancelWatch(
        server.dbs.values(),
        executor_id=server.executor_id,
        stop=lambda run_id: server.runs.cancel(run_id, "cancelled on request"),
    )
    watch.start()
    stack.push_async_callback(watch.close)
    stack.push_async_callback(server.streams.end, timeout_seconds=_LAST_WORDS_SECONDS)
    stack.push_async_callback(
        server.runs.shut_down, grace_seconds=server.settings.shutdown_grace_seconds
    )
