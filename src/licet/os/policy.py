"""The policy of one server: who decides, and what a verified principal amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from licet.authn.base import Authenticator
from licet.authn.principal import Principal
from licet.authz.authorizer import AccessRequest, Authorizer
from licet.authz.families import Families
from licet.authz.grants import compile_grants
from licet.authz.permission import Permission
from licet.db.base import Access
from licet.os.caller import Caller
from licet.os.denial import Denial
from licet.os.rules import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything that the chain needs to answer who and may they. Immutable."""

    authenticator: Authenticator
    authorizer: Authorizer
    families: Families
    admin_scope: str
    user_isolation: bool = True

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
