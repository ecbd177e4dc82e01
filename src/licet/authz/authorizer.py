"""Authorizers: from a request and its caller's grants to a decision."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec

from licet.authn.principal import Principal
from licet.authz.decision import Decision, Verdict, allow, deny
from licet.authz.grants import Grants
from licet.authz.permission import Permission
from licet.errors import ConfigurationError

logger = logging.getLogger(__name__)


class AccessRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: who, holding what, wants which permission, on which object.

    Attributes:
        principal: who asks.
        grants: what the principal's scopes amount to.
        permission: what the route asks for; None: nothing but a verified caller, if the route is
            declared.
        declared: whether the route says what it asks for. One that does not is closed.
        resource_id: the object; None: no single one is meant.
        route: the template of the route, such as ``/agents/{agent_id}/runs``.
        method: of the request; ``WEBSOCKET`` of a handshake; ``RUN``, without a route, when a run
            that was started earlier begins, goes on, or calls tools, and when a schedule of runs is
            made, changed or fires.
    """

    principal: Principal
    grants: Grants
    permission: Permission | None
    declared: bool = False
    resource_id: str | None = None
    route: str = ""
    method: str = ""


@runtime_checkable
class Authorizer(Protocol):
    """Decides requests. Add one of your own to a server to use another policy engine."""

    async def authorize(self, request: AccessRequest) -> Decision:
        """Deny, allow, or have no opinion. What it raises counts as a denial."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one authorizer said, and what it is called."""

    authorizer: str
    decision: Decision


class ScopeAuthorizer:
    """Decides by the caller's grants alone. What they do not permit, nobody else can."""

    async def authorize(self, request: AccessRequest) -> Decision:
        """Allow what the grants permit; deny all else, naming the scope that was missing."""
        return _by_scopes(request)


def _by_scopes(request: AccessRequest) -> Decision:
    if request.grants.is_admin:
        return _ADMIN
    wanted = request.permission
    if wanted is None:
        return _VERIFIED if request.declared else _UNDECLARED
    rule = scope_rule(wanted)
    if wanted.listing and request.resource_id is None:
        reach = request.grants.reach(wanted.resource, wanted.action)
        permitted = not reach.is_none
    else:
        permitted = request.grants.permits(wanted.resource, wanted.action, request.resource_id)
    if permitted:
        return allow(f"the caller holds {wanted.scope}", rule)
    return deny(f"the caller does not hold {wanted.scope}", rule)


def scope_rule(permission: Permission) -> str:
    """The name of the rule by which scopes decide about a permission."""
    return f"scope:{permission.scope}"


class UnionAuthorizer:
    """Asks all its members: one that denies wins, then one that allows; else nobody has allowed.

    ``asks_scopes_only`` tells whether grants alone decide.

    Raises:
        ConfigurationError: a member is no authorizer.
    """

    def __init__(self, members: Sequence[Authorizer]) -> None:
        for member in members:
            _check_is_one(member)
        self._members = tuple(members)
        self.asks_scopes_only = [type(member) for member in members] == [ScopeAuthorizer]

    async def authorize(self, request: AccessRequest) -> Decision:
        """The first denial, else the first that allows, else a denial because nobody allows."""
        if self.asks_scopes_only:
            # Nobody who could wait, fail, or answer no decision.
            return _by_scopes(request)
        allowed: Decision | None = None
        for member in self._members:
            decision = await _ask(member, request)
            if decision.verdict is Verdict.DENY:
                return decision
            if allowed is None and decision.verdict is Verdict.ALLOW:
                allowed = decision
        return _NOBODY if allowed is None else allowed

    async def opinions(self, request: AccessRequest) -> Sequence[Opinion]:
        """What each member says, also after one that denies. To be shown, not to be decided by."""
        return [Opinion(_name(member), await _ask(member, request)) for member in self._members]


async def _ask(member: Authorizer, request: AccessRequest) -> Decision:
    try:
        decision: object = await member.authorize(request)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody has cancelled the request: something inside of the authorizer was.
        logger.exception("the authorizer %s was cancelled; the request is denied", _name(member))
        return _failed(member)
    except Exception:
        logger.exception("the authorizer %s failed; the request is denied", _name(member))
        return _failed(member)
    # Somebody else's code: what is not a decision must not pass for one.
    if not isinstance(decision, Decision) or not isinstance(decision.verdict, Verdict):
        name = _name(member)
        logger.error("the authorizer %s answered no decision; the request is denied", name)
        return _failed(member)
    return decision


def _check_is_one(member: object) -> None:
    if not inspect.iscoroutinefunction(getattr(member, "authorize", None)):
        raise ConfigurationError(
            f"{type(member).__name__} is no authorizer: it has no method "
            "'async def authorize(self, request)'"
        )


def _name(member: Authorizer) -> str:
    return type(member).__name__


def _failed(member: Authorizer) -> Decision:
    name = _name(member)
    return Decision(Verdict.DENY, f"the authorizer {name} failed", name, failed=True)


_ADMIN = allow("the caller is the administrator", "admin")
_VERIFIED = allow("the route asks for any verified caller", "verified")
UNDECLARED_RULE = "undeclared"
"""The name of the rule by which a route that declares nothing is closed."""

_UNDECLARED = deny(
    "the route declares no permission, so it is the administrator's alone: "
    "declare one, or map the route in scope_mappings",
    UNDECLARED_RULE,
)
_NOBODY = deny("nobody allows it", "union")
