"""Whether a run may go on: decided anew before it begins and calls tools, and recorded."""

from __future__ import annotations

from collections.abc import Callable

from licet.authn.principal import Principal
from licet.authz.decision import Decision, deny
from licet.errors import StorageUnavailableError
from licet.os.auditing import Auditing
from licet.os.policy import RUN_AGENT, Policy
from licet.os.work_events import run_events, status_of
from licet.runs.run_authority import NextStep


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
        gone = self._gone(step)
        decision = gone
        if decision is None:
            decision = await self._policy.still_permits(
                step.principal, RUN_AGENT, resource_id=step.agent_id
            )
        if not (step.admitted and decision.allowed):
            unrecorded = await self._auditing.record_work(
                run_events(
                    step,
                    decision,
                    permission=RUN_AGENT,
                    status=status_of(decision, lost=gone is not None),
                )
            )
            if unrecorded is not None:
                raise StorageUnavailableError(unrecorded.detail)
        return None if decision.allowed else decision.reason

    def _gone(self, step: NextStep) -> Decision | None:
        """Why no authority is left; None: it is."""
        if step.expired:
            why = "the authority under which the run was started has expired"
            return deny(why, "authority_expired")
        lost = self._lost(step.principal)
        return None if lost is None else deny(lost, "token_revoked")
