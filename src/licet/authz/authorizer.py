"""Authorizers: from a request and its caller's grants to a decision."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from licet.authn.principal import Principal
from licet.authz.decision import Decision, Verdict, allow, deny
from licet.authz.grants import Grants
from licet.authz.permission import Permission

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """What is asked: who, holding what, wants which permission, on which object.

    ``permission`` None: the route declares none. ``resource_id`` None: no single object is meant.
    """

    principal: Principal
    grants: Grants
    permission: Permission | None
    resource_id: str | None = None
    route: str = ""
    method: str = ""


class Authorizer(Protocol):
    """Decides requests. Add one of your own to a union to use another policy engine."""

    def authorize(self, request: AccessRequest) -> Decision:
        """Deny, allow, or have no opinion. What it raises counts as a denial."""


class ScopeAuthorizer:
    """Decides by the caller's grants alone."""

    def authorize(self, request: AccessRequest) -> Decision:
        """Allow what the grants permit; deny all else, naming the scope that was missing."""
        if request.grants.is_admin:
            return allow("the caller is the administrator", "admin")
        wanted = request.permission
        if wanted is None:
            return deny(
                "the route declares no permission, so it is the administrator's alone: "
                "declare one, or map the route in scope_mappings",
                "undeclared",
            )
        rule = f"scope:{wanted.scope}"
        if wanted.listing:
            reach = request.grants.reach(wanted.resource, wanted.action)
            permitted = not reach.is_none
        else:
            permitted = request.grants.permits(wanted.resource, wanted.action, request.resource_id)
        if permitted:
            return allow(f"the caller holds {wanted.scope}", rule)
        return deny(f"the caller does not hold {wanted.scope}", rule)


class UnionAuthorizer:
    """Asks all its members: one that denies wins, then one that allows; else nobody has allowed."""

    def __init__(self, members: Sequence[Authorizer]) -> None:
        self._members = tuple(members)

    def authorize(self, request: AccessRequest) -> Decision:
        """The members' decision; no opinion at the end is a denial."""
        allowed: Decision | None = None
        for member in self._members:
            decision = _ask(member, request)
            if decision.verdict is Verdict.DENY:
                return decision
            if decision.verdict is Verdict.ALLOW and allowed is None:
                allowed = decision
        return _NOBODY if allowed is None else allowed


def _ask(member: Authorizer, request: AccessRequest) -> Decision:
    name = type(member).__name__
    try:
        decision: object = member.authorize(request)
    except Exception:
        logger.exception("the authorizer %s failed; the request is denied", name)
        return _failed(name)
    # Somebody else's code: what is not a decision must not pass for one.
    if not isinstance(decision, Decision) or not isinstance(decision.verdict, Verdict):
        logger.error("the authorizer %s answered no decision; the request is denied", name)
        return _failed(name)
    return decision


def _failed(name: str) -> Decision:
    return Decision(Verdict.DENY, f"the authorizer {name} failed", name, failed=True)


_NOBODY = deny("nobody allows it", "union")
