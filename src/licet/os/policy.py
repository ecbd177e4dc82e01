"""The policy of one server: who decides, and what a verified principal amounts to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from licet.authn.issuer import TrustedIssuer
from licet.authn.principal import Principal
from licet.authn.token_source import TokenSource
from licet.authz.authorizer import AccessRequest, Authorizer, ScopeAuthorizer, UnionAuthorizer
from licet.authz.families import DEFAULT_FAMILIES, Families
from licet.authz.grants import compile_grants
from licet.authz.permission import Permission
from licet.db.base import Access
from licet.errors import ConfigurationError
from licet.os.caller import Caller
from licet.os.config import AuthorizationConfig
from licet.os.denial import Denial
from licet.os.issuers import check_roles
from licet.os.mappings import parse_mappings
from licet.os.rules import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything that the chain needs to answer whether somebody may. Immutable.

    ``missing_credentials`` is what those hear who present none.
    """

    authorizer: Authorizer
    families: Families
    admin_scope: str
    user_isolation: bool = True
    missing_credentials: str = "Authorization header missing"

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

    def decide(
        self,
        caller: Caller,
        rule: Rule | None,
        *,
        template: str,
        method: str,
        path_params: Mapping[str, Any],
    ) -> Denial | None:
        """None: the caller may. ``rule`` None is an undeclared route."""
        permissions: tuple[Permission | None, ...] = (None,) if rule is None else rule.permissions
        for permission in permissions:
            denial = self._decide_one(caller, permission, template, method, path_params)
            if denial is not None:
                return denial
        return None

    def _decide_one(
        self,
        caller: Caller,
        permission: Permission | None,
        template: str,
        method: str,
        path_params: Mapping[str, Any],
    ) -> Denial | None:
        assert caller.principal is not None  # noqa: S101 - the gate asks for principals only
        assert caller.grants is not None  # noqa: S101 - as above
        named = permission.id_param if permission is not None else None
        decision = self.authorizer.authorize(
            AccessRequest(
                principal=caller.principal,
                grants=caller.grants,
                permission=permission,
                resource_id=None if named is None else str(path_params.get(named, "")),
                route=template,
                method=method,
            )
        )
        if decision.allowed:
            return None
        if decision.failed:
            return Denial.undecided()
        if permission is None:
            return Denial.insufficient(
                "This route is closed: it declares no permission", (self.admin_scope,)
            )
        return Denial.insufficient(
            f"Insufficient permissions. Required scope(s): {permission.scope}", (permission.scope,)
        )


def build_policy(
    config: AuthorizationConfig, *, issuers: Sequence[TrustedIssuer], user_isolation: bool
) -> Policy:
    """The policy that a configuration asks for.

    Raises:
        ConfigurationError: a rule cannot hold.
    """
    if not config.admin_scope:
        raise ConfigurationError("admin_scope is the scope of the administrator; it is not empty")
    families = _families(config)
    check_roles(issuers, admin_scope=config.admin_scope, families=families)
    return Policy(
        authorizer=UnionAuthorizer([ScopeAuthorizer()]),
        families=families,
        admin_scope=config.admin_scope,
        user_isolation=user_isolation,
        missing_credentials=_missing(config),
    )


def _families(config: AuthorizationConfig) -> Families:
    """The known families, and those that the operator's own routes ask for."""
    families = DEFAULT_FAMILIES
    for rule in parse_mappings(config.scope_mappings, config.open_paths).values():
        for permission in rule.permissions:
            families = families.with_action(permission.resource, permission.action)
    return families


def _missing(config: AuthorizationConfig) -> str:
    header, cookie = config.token_header_key, f"cookie {config.cookie_name!r}"
    return {
        TokenSource.HEADER: f"{header} header missing",
        TokenSource.COOKIE: f"{cookie[:1].upper()}{cookie[1:]} missing",
        TokenSource.BOTH: f"{header} header and {cookie} missing",
    }[config.token_source]
