"""RunAuthority: what the snapshot of a principal is worth while a run goes on under it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from licet.authn.principal import Principal
from licet.runs.patience import patiently
from licet.runs.snapshot import Snapshot

MayGoOn = Callable[[Principal, str], Awaitable[str | None]]
"""Why a principal may not run an agent any more; None: they may."""


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

    async def lost_by(
        self, snapshot: Snapshot | None, principal: Principal | None, agent_id: str
    ) -> str | None:
        """Why a durable run may not go on; None: it may. Waits for whoever cannot say."""
        if snapshot is None or principal is None:
            return None
        if time.time() >= self.expires_at(snapshot.taken_at):
            return "the authority under which the run was started has expired"
        return await patiently(lambda: self.may_go_on(principal, agent_id))
