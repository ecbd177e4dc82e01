"""RunAuthority: what the snapshot of a principal is worth while a run goes on under it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from licet.agent.execution import Lost, nobody_loses
from licet.agent.run_request import RunRequest
from licet.authn.principal import Principal
from licet.runs.patience import patiently
from licet.runs.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """What a run is about to do under the authority of a principal.

    Attributes:
        principal: whose authority it is.
        agent_id, run_id: the run.
        request_id: of the request that began it.
        tools: the names of what it calls; none: it begins, or goes on.
        admitted: a request has just been let in for it.
        expired: the authority is older than it may become.
    """

    principal: Principal
    agent_id: str
    run_id: str
    request_id: str | None
    tools: Sequence[str] = ()
    admitted: bool = False
    expired: bool = False


MayGoOn = Callable[[NextStep], Awaitable[str | None]]
"""Why a principal may not have a run do that any more; None: they may.

Raises ``StorageUnavailableError`` where nobody can say at present.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAuthority:
    """How long the snapshot of a principal counts, and who is asked about it.

    Attributes:
        may_go_on: asked at each start and before each call of tools.
        lost: why it is gone, as far as this process has heard.
        ttl: how long after it was taken the snapshot counts.
    """

    may_go_on: MayGoOn
    lost: Callable[[Principal | None], str | None]
    ttl: timedelta

    def expires_at(self, taken_at: float) -> float:
        """When a snapshot that was taken then counts no longer. Both in epoch seconds."""
        return taken_at + self.ttl.total_seconds()

    def of_request(self, agent_id: str, request: RunRequest) -> Lost:
        """Asks for a run that a request begins, under the authority of that request."""
        principal = request.principal
        if principal is None:
            return nobody_loses

        async def lost(tools: Sequence[str]) -> str | None:
            return await self.may_go_on(
                NextStep(
                    principal=principal,
                    agent_id=agent_id,
                    run_id=request.run_id,
                    request_id=request.request_id,
                    tools=tools,
                    admitted=not tools,
                )
            )

        return lost

    def of_snapshot(self, agent_id: str, request: RunRequest, snapshot: Snapshot | None) -> Lost:
        """Asks for a stored run, under its snapshot. Waits for whoever cannot say."""
        principal = request.principal
        if principal is None or snapshot is None:
            return nobody_loses
        expires_at = self.expires_at(snapshot.taken_at)

        async def lost(tools: Sequence[str]) -> str | None:
            step = NextStep(
                principal=principal,
                agent_id=agent_id,
                run_id=request.run_id,
                request_id=request.request_id,
                tools=tools,
                expired=time.time() >= expires_at,
            )
            return await patiently(lambda: self.may_go_on(step))

        return lost
