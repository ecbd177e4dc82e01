"""Whether a schedule may be made, and whether it may fire: asked anew each time, of everybody."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from licet.authn.principal import Principal
from licet.authz.decision import Decision, deny
from licet.authz.permission import Permission
from licet.db.schedule_records import ScheduleRecord, ScheduleRunRecord
from licet.errors import LicetError
from licet.os.auditing import Auditing
from licet.os.authority import AuthorityLostError
from licet.os.policy import RUN_AGENT, Policy
from licet.os.service_accounts import NotYoursToGrantError
from licet.os.work_events import firing_event, status_of
from licet.runs.firing import Refusal
from licet.runs.snapshot import Snapshot

WRITE_SCHEDULE = Permission("schedules", "write", id_param="schedule_id")
"""What the route asks for by which a schedule is made; asked for again when it fires."""


class UndecidedError(LicetError):
    """It could not be decided whether somebody may: so they may not, at present."""

    code = "undecided"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A decision, and what it was about. ``lost``: no authority is left that could be asked."""

    decision: Decision
    permission: Permission
    resource_id: str
    lost: bool = False

    @property
    def status(self) -> int | None:
        """What a request would be answered that was decided so; None: it would go on."""
        return status_of(self.decision, lost=self.lost)


class ScheduleAuthority:
    """Decides about schedules.

    Args:
        policy: what is asked; None: authorization is off.
        auditing: where decisions about firings are recorded.
        check: refuses whoever was revoked, by what the database says now. Raises
            ``AuthorityLostError``, and ``StorageUnavailableError`` when nobody can say.
        ttl: for how long a snapshot counts.
        now: gives epoch seconds.
    """

    def __init__(
        self,
        policy: Policy | None,
        *,
        auditing: Auditing,
        check: Callable[[Principal | None], Awaitable[None]],
        ttl: timedelta,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy
        self._auditing = auditing
        self._check = check
        self._ttl = ttl
        self._now = now

    async def require_run(self, principal: Principal | None, agent_id: str) -> None:
        """Refuse to let somebody schedule what they may not run.

        Raises:
            NotYoursToGrantError: they may not run the agent.
            UndecidedError: nobody can say.
        """
        if principal is None or self._policy is None:
            return
        decision = await self._policy.still_permits(principal, RUN_AGENT, resource_id=agent_id)
        if decision.failed:
            raise UndecidedError("The decision could not be made; nothing was done")
        if not decision.allowed:
            raise NotYoursToGrantError(
                f"Insufficient permissions. Required scope(s): {RUN_AGENT.scope}"
            )

    async def refusal(self, schedule: ScheduleRecord, attempt: ScheduleRunRecord) -> Refusal | None:
        """Why a schedule may not fire, recorded either way; None: it may.

        Raises:
            StorageUnavailableError: the revocations cannot be read at present.
        """
        if self._policy is None:
            # As of requests: where authorization is off nobody is asked, and nothing is decided.
            return None
        snapshot = None if schedule.snapshot is None else Snapshot.from_json(schedule.snapshot)
        principal = None if snapshot is None else snapshot.principal()
        asked = await self._asked(schedule, snapshot, principal)
        event = firing_event(
            schedule.id,
            principal,
            asked.decision,
            schedule_run_id=attempt.id,
            permission=asked.permission,
            resource_id=asked.resource_id,
            status=asked.status,
        )
        unrecorded = await self._auditing.record_work([event])
        if unrecorded is not None:
            return Refusal(reason=unrecorded.detail, status=unrecorded.status)
        if asked.status is None:
            return None
        return Refusal(reason=asked.decision.reason, status=asked.status, lost=asked.lost)

    async def _asked(
        self, schedule: ScheduleRecord, snapshot: Snapshot | None, principal: Principal | None
    ) -> _Asked:
        """The first demand that is not met; the last one where all are."""
        if snapshot is None or principal is None:
            nobody = deny("the schedule was made while authorization was off", "no_credentials")
            return _Asked(nobody, RUN_AGENT, schedule.agent_id, lost=True)
        gone = await self._gone(snapshot, principal)
        if gone is not None:
            return _Asked(gone, RUN_AGENT, schedule.agent_id, lost=True)
        asked = await self._permitted(principal, WRITE_SCHEDULE, schedule.id)
        if not asked.decision.allowed:
            return asked
        return await self._permitted(principal, RUN_AGENT, schedule.agent_id)

    async def _permitted(
        self, principal: Principal, permission: Permission, resource_id: str
    ) -> _Asked:
        assert self._policy is not None  # noqa: S101 - whoever calls has seen to that
        decision = await self._policy.still_permits(principal, permission, resource_id=resource_id)
        return _Asked(decision, permission, resource_id)

    async def _gone(self, snapshot: Snapshot, principal: Principal) -> Decision | None:
        """Why no authority is left; None: it is."""
        if self._now() >= snapshot.taken_at + self._ttl.total_seconds():
            return deny("the authority of the schedule has expired", "authority_expired")
        try:
            await self._check(principal)
        except AuthorityLostError as error:
            return deny(str(error), "token_revoked")
        return None
