"""Whether the program would start, and which routes were forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from licet.doctor.deployment import Deployment
from licet.doctor.finding import Finding, Kind, Level
from licet.errors import ConfigurationError
from licet.os.starting import check_routes
from licet.os.table import FRONT_END, Entry

STARTUP_REFUSED = Kind("startup_refused", Level.PROBLEM)
ROUTE_UNDECLARED = Kind("route_undeclared", Level.WARNING)


class StartingCheck:
    """Looks at what is refused when the app starts, and at routes that say nothing."""

    about = "the program and its routes"
    kinds = (STARTUP_REFUSED, ROUTE_UNDECLARED)

    async def look(self, deployment: Deployment) -> Sequence[Finding]:
        """Rules that bind to nothing, and routes without one."""
        agent_os = deployment.agent_os
        table, policy = agent_os.route_table(), agent_os.policy
        try:
            check_routes(table, policy, agent_os.trust)
        except ConfigurationError as error:
            return [startup_refused("routes", error)]
        if policy is None:
            return ()
        undeclared = [entry for entry in table.entries() if entry.rule is None]
        return [_undeclared(entry, policy.admin_scope) for entry in undeclared]


def startup_refused(where: str, error: ConfigurationError) -> Finding:
    """The program says itself why it does not start."""
    return Finding(
        kind=STARTUP_REFUSED,
        where=where,
        what=str(error),
        remedy="the message says what to change; until then no process of this program starts",
    )


def _undeclared(entry: Entry, admin_scope: str) -> Finding:
    return Finding(
        kind=ROUTE_UNDECLARED,
        where=f"{', '.join(entry.methods)} {entry.template}",
        what=f"it says nothing of who may use it: closed to everyone but {admin_scope}",
        remedy="mount its files instead: app.mount(path, StaticFiles(directory=..., html=True))"
        if entry.kind == FRONT_END
        else "add it to scope_mappings or public_paths",
    )
