"""Audit events of decisions about work: of runs and their tools, of approvals and schedules."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

from licet.audit.event import AuditEvent, EventKind, storable_text
from licet.authn.principal import Principal, PrincipalKind
from licet.authz.decision import Decision
from licet.authz.permission import Permission
from licet.db.approval_records import ApprovalRecord
from licet.runs.run_authority import NextStep

_RUN_METHOD, _SCHEDULE_METHOD = "RUN", "SCHEDULE"
_UNAUTHORIZED, _FORBIDDEN, _UNAVAILABLE = 401, 403, 503


def status_of(decision: Decision, *, lost: bool) -> int | None:
    """What a request would be answered that was decided so; None: it would go on.

    ``lost``: no authority is left that could be asked.
    """
    if decision.allowed:
        return None
    if decision.failed:
        return _UNAVAILABLE
    return _UNAUTHORIZED if lost else _FORBIDDEN


def credential_of(principal: Principal | None) -> str:
    """What somebody has shown, as the trail calls it."""
    if principal is None:
        return "none"
    return "service_account" if principal.kind is PrincipalKind.SERVICE else "jwt"


def run_events(
    step: NextStep, decision: Decision, *, permission: Permission, status: int | None
) -> Sequence[AuditEvent]:
    """Whether a run may do what is next: an event for each tool, or one where it calls none."""
    about = [(EventKind.TOOL_CALL, f"{name}: {decision.reason}") for name in step.tools]
    return [
        _event(
            kind,
            principal=step.principal,
            request_id=step.request_id or "",
            reason=reason,
            rule=decision.rule,
            permission=permission,
            resource_id=step.agent_id,
            method=_RUN_METHOD,
            route=f"/agents/{step.agent_id}/runs/{step.run_id}",
            allowed=decision.allowed,
            status=status,
        )
        for kind, reason in about or [(EventKind.RUN, decision.reason)]
    ]


def approval_event(
    approval: ApprovalRecord,
    principal: Principal | None,
    *,
    approved: bool,
    permission: Permission,
    request_id: str,
    client: str | None,
    late_status: int | None = None,
) -> AuditEvent:
    """What somebody decides about a call. Its arguments are there as a digest of their text.

    ``late_status``: what they are answered where somebody else has decided meanwhile.
    """
    digest = hashlib.sha256(approval.arguments.encode()).hexdigest()
    what = "approved" if approved else "rejected"
    if late_status is not None:
        what = f"not {what}, it was decided before:"
    return _event(
        EventKind.APPROVAL,
        principal=principal,
        request_id=request_id,
        reason=(
            f"{what} {approval.tool_name} ({approval.tool_call_id}) of run {approval.run_id}, "
            f"arguments sha256:{digest}"
        ),
        rule="approval" if late_status is None else "decided_before",
        permission=permission,
        resource_id=approval.id,
        method="POST",
        route=f"/approvals/{approval.id}/resolve",
        allowed=approved and late_status is None,
        status=late_status,
        client=client,
    )


def firing_event(
    schedule_id: str,
    principal: Principal | None,
    decision: Decision,
    *,
    schedule_run_id: str,
    permission: Permission,
    resource_id: str,
    status: int | None,
) -> AuditEvent:
    """Whether a schedule fires.

    It has no request: what stands for that is the schedule's own path, and the id of what came of
    the firing, which the run has for its ``request_id``.
    """
    return _event(
        EventKind.SCHEDULE,
        principal=principal,
        request_id=schedule_run_id,
        reason=decision.reason,
        rule=decision.rule,
        permission=permission,
        resource_id=resource_id,
        method=_SCHEDULE_METHOD,
        route=f"/schedules/{schedule_id}",
        allowed=status is None,
        status=status,
    )


def _event(
    kind: EventKind,
    *,
    principal: Principal | None,
    request_id: str,
    reason: str,
    rule: str,
    permission: Permission,
    resource_id: str,
    method: str,
    route: str,
    allowed: bool,
    status: int | None,
    client: str | None = None,
) -> AuditEvent:
    return AuditEvent(
        time_us=time.time_ns() // 1000,
        request_id=request_id,
        kind=kind.value,
        decision="allow" if allowed else "deny",
        status=status,
        reason=storable_text(reason),
        rule=storable_text(rule),
        issuer_alias=None if principal is None else principal.issuer_alias,
        subject=None if principal is None else principal.subject,
        credential=credential_of(principal),
        token_id=None if principal is None else principal.token_id,
        action=permission.scope,
        resource=permission.resource,
        resource_id=storable_text(resource_id),
        method=method,
        route=storable_text(route),
        client=client,
        latency_us=0,
    )
