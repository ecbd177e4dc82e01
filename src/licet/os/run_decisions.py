"""Whether a run may go on: decided anew before it begins and calls tools, and recorded."""

from __future__ import annotations

from collections.abc import Callable

from licet.authn.principal import Principal
from licet.authz.decision import Decision, deny
from licet.errors import StorageUnavailableError
from licet.os.auditing import Auditing
from licet.os.policy import RUN_AGENT, Policy
from licet.os.work_events import run_events
from licet.runs.run_authority import NextStep

_UNAUTHORIZED, _FORBIDDEN, _UNAVAILABLE = 401, 403, 503


class RunDecisions:
    """Decides about the next steps of runs.

    Args:
        policy: what is asked; None: authorization is off.
        auditing: where decisions are recorded.
        lost: why the authority of a principal is gone, as far as is known here.
    """

    def __init__(
        self,
        policy: Policy | None,
        *,
        auditing: Auditing,
        lost: Callable[[Principal | None], str | None],
    ) -> None:
        self._policy = policy
        self._auditing = auditing
        self._lost = lost

    async def may_go_on(self, step: NextStep) -> str | None:
        """Why a run may not do what is next, recorded either way; None: it may.

        That a request was let in for it stands in the trail already.

        Raises:
            StorageUnavailableError: it cannot be recorded at present, without which nothing is
                done.
        """
        if self._policy is None:
            return None
        decision, status = await self._decide(self._policy, step)
        if not (step.admitted and decision.allowed):
            unrecorded = await self._auditing.record_work(
                run_events(step, decision, permission=RUN_AGENT, status=status)
            )
            if unrecorded is not None:
                raise StorageUnavailableError(unrecorded.detail)
        return None if decision.allowed else decision.reason

    async def _decide(self, policy: Policy, step: NextStep) -> tuple[Decision, int | None]:
        """The decision, and what a request would be answered that was decided so."""
        if step.expired:
            why = "the authority under which the run was started has expired"
            return deny(why, "authority_expired"), _UNAUTHORIZED
        gone = self._lost(step.principal)
        if gone is not None:
            return deny(gone, "token_revoked"), _UNAUTHORIZED
        decision = await policy.still_permits(step.principal, RUN_AGENT, resource_id=step.agent_id)
        if decision.allowed:
            return decision, None
        return decision, _UNAVAILABLE if decision.failed else _FORBIDDEN
