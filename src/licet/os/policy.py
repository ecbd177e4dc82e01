"""The policy of one server: who decides, and what a verified principal amounts to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from licet.authn.issuer import TrustedIssuer
from licet.authn.principal import Principal
from licet.authn.token_source import TokenSource
from licet.authz.authorizer import (
    UNDECLARED_RULE,
    AccessRequest,
    Authorizer,
    Opinion,
    ScopeAuthorizer,
    UnionAuthorizer,
    scope_rule,
)
from licet.authz.decision import Decision
from licet.authz.families import DEFAULT_FAMILIES, Families
from licet.authz.grants import compile_grants
from licet.authz.permission import Permission
from licet.db.base import Access
from licet.errors import ConfigurationError
from licet.os.caller import Caller
from licet.os.config import AuthorizationConfig
from licet.os.denial import Denial
from licet.os.issuers import check_roles
from licet.os.mappings import parse_mappings, placeholders
from licet.os.rules import Rule

if TYPE_CHECKING:
    from licet.os.table import Entry, Guarded

RUN_AGENT = Permission("agents", "run", id_param="agent_id")
"""What is asked for again when a run begins, goes on, or calls tools, and when a schedule fires."""


class Ruling(msgspec.Struct, frozen=True):
    """The decision that settled a request, and what it was about."""

    decision: Decision
    request: AccessRequest


class Policy:
    """Everything that the chain needs to answer whether somebody may.

    Args:
        authorizer: decides.
        families: what scopes may be about; grows with what routes ask for.
        admin_scope: the scope that may everything.
        user_isolation: everybody reaches their own rows only.
        missing_credentials: what those hear who present none.
    """

    def __init__(
        self,
        authorizer: UnionAuthorizer,
        *,
        families: Families = DEFAULT_FAMILIES,
        admin_scope: str,
        user_isolation: bool = True,
        missing_credentials: str = "Authorization header missing",
    ) -> None:
        self.authorizer = authorizer
        self.families = families
        self.admin_scope = admin_scope
        self.user_isolation = user_isolation
        self.missing_credentials = missing_credentials

    def learn(self, rule: Rule) -> None:
        """Let scopes grant what a route asks for, also where no other route has asked for it."""
        for permission in rule.permissions:
            family = self.families.of(permission.resource)
            if family is None or permission.action not in family.actions:
                self.families = self.families.with_action(permission.resource, permission.action)

    def caller(self, principal: Principal) -> Caller:
        """The caller that a verified principal is here."""
        grants = compile_grants(
            principal.scopes, admin_scope=self.admin_scope, families=self.families
        )
        return Caller(
            principal=principal,
            grants=grants,
            access=Access(principal.owner, sees_all=grants.is_admin or not self.user_isolation),
        )

    async def rule_on(self, caller: Caller, guarded: Guarded, *, method: str) -> Ruling:
        """The first of a route's demands that is not met; the last one where all are."""
        ruling = None
        for request in requests(caller, guarded, method=method):
            decision = await self.authorizer.authorize(request)
            ruling = Ruling(decision, request)
            if not decision.allowed:
                break
        assert ruling is not None  # noqa: S101 - there is always one request
        return ruling

    async def opinions(
        self, caller: Caller, guarded: Guarded, *, method: str
    ) -> Sequence[tuple[AccessRequest, Sequence[Opinion]]]:
        """What every authorizer says of each of a route's demands."""
        return [
            (request, await self.authorizer.opinions(request))
            for request in requests(caller, guarded, method=method)
        ]

    def refusal(self, ruling: Ruling) -> Denial | None:
        """How a decision is answered that does not allow; None: it does."""
        decision, wanted = ruling.decision, ruling.request.permission
        if decision.allowed:
            return None
        if decision.failed:
            return Denial.undecided(decision.reason)
        if decision.rule == UNDECLARED_RULE and not ruling.request.declared:
            return Denial.insufficient(
                "This route is closed: it declares no permission", (self.admin_scope,)
            )
        if wanted is not None and decision.rule == scope_rule(wanted):
            return Denial.insufficient(
                f"Insufficient permissions. Required scope(s): {wanted.scope}", (wanted.scope,)
            )
        return Denial.forbidden(decision.reason)

    async def still_permits(
        self, principal: Principal, permission: Permission, *, resource_id: str
    ) -> Decision:
        """Decide anew about what a principal started earlier, on one object."""
        caller = self.caller(principal)
        assert caller.grants is not None  # noqa: S101 - a principal's caller has grants
        return await self.authorizer.authorize(
            AccessRequest(
                principal=principal,
                grants=caller.grants,
                permission=permission,
                declared=True,
                resource_id=resource_id,
                method="RUN",
            )
        )

    async def visible(
        self, caller: Caller, permission: Permission, ids: Collection[str]
    ) -> Collection[str]:
        """Those of some objects that a list may show to a caller."""
        if caller.principal is None or caller.grants is None:
            return ids
        if self.authorizer.asks_scopes_only:
            # What grants reach is known at once, and nobody else has a say about each object.
            reach = caller.grants.reach(permission.resource, permission.action)
            return ids if reach.is_all else {each for each in ids if each in reach}
        shown = set()
        for identifier in ids:
            request = AccessRequest(
                principal=caller.principal,
                grants=caller.grants,
                permission=permission,
                declared=True,
                resource_id=identifier,
                method="GET",
            )
            if (await self.authorizer.authorize(request)).allowed:
                shown.add(identifier)
        return shown


def requests(caller: Caller, guarded: Guarded, *, method: str) -> list[AccessRequest]:
    """What authorizers are asked for a route: one question for each permission, at least one."""
    assert caller.principal is not None  # noqa: S101 - asked for principals only
    assert caller.grants is not None  # noqa: S101 - as above
    rule = guarded.rule
    wanted: Sequence[Permission | None] = (None,)
    if rule is not None and rule.permissions:
        wanted = rule.permissions
    found = []
    for permission in wanted:
        named = permission.id_param if permission is not None else None
        found.append(
            AccessRequest(
                principal=caller.principal,
                grants=caller.grants,
                permission=permission,
                declared=rule is not None,
                resource_id=None if named is None else str(guarded.path_params.get(named, "")),
                route=guarded.template,
                method=method,
            )
        )
    return found


def build_policy(
    config: AuthorizationConfig,
    *,
    user_isolation: bool,
    authorizers: Sequence[Authorizer] = (),
) -> Policy:
    """The policy that a configuration asks for.

    Raises:
        ConfigurationError: a rule cannot hold.
    """
    if not config.admin_scope:
        raise ConfigurationError("admin_scope is the scope of the administrator; it is not empty")
    policy = Policy(
        UnionAuthorizer([ScopeAuthorizer(), *authorizers]),
        admin_scope=config.admin_scope,
        user_isolation=user_isolation,
        missing_credentials=_missing(config),
    )
    for rule in parse_mappings(config.scope_mappings, config.open_paths).values():
        policy.learn(rule)
    return policy


def check_against_routes(
    policy: Policy, entries: Iterable[Entry], *, issuers: Sequence[TrustedIssuer]
) -> None:
    """Learn what all routes ask for; then refuse roles whose scopes could grant nothing.

    Raises:
        ConfigurationError: names the role, the scope and why; or the route that asks for an object
            which its path does not name.
    """
    for entry in entries:
        if entry.rule is not None:
            _check_objects(entry, entry.rule)
            policy.learn(entry.rule)
    check_roles(issuers, admin_scope=policy.admin_scope, families=policy.families)


def _check_objects(entry: Entry, rule: Rule) -> None:
    names = rule.placeholders or placeholders(entry.template)
    for permission in rule.permissions:
        if permission.id_param is not None and permission.id_param not in names:
            raise ConfigurationError(
                f"{entry.methods[0]} {entry.template}: id_param {permission.id_param!r} is no "
                "placeholder of the path, so no grant for one object would ever open it"
            )


def _missing(config: AuthorizationConfig) -> str:
    header, cookie = config.token_header_key, f"cookie {config.cookie_name!r}"
    return {
        TokenSource.HEADER: f"{header} header missing",
        TokenSource.COOKIE: f"{cookie[:1].upper()}{cookie[1:]} missing",
        TokenSource.BOTH: f"{header} header and {cookie} missing",
    }[config.token_source]
