"""Caller: who sent this request, what they may reach, and on whose behalf rows are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection

from licet.authn.principal import Principal, owner_key
from licet.authz.grants import Grants
from licet.db.base import NOBODY, Access

SCOPE_KEY = "licet.caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One request's caller; ``principal`` is None on the open server and on public routes.

    ``grants`` None means that nothing is checked: authorization is off.
    """

    principal: Principal | None
    grants: Grants | None
    access: Access

    def owner_for(self, user_id: str | None) -> str:
        """Whose rows a request is about: one's own, or those of the user whom an admin names."""
        if self.principal is not None and self.access.sees_all and user_id:
            return owner_key(self.principal.issuer_alias, user_id)
        return self.access.owner

    def user_id(self, given: str | None) -> str | None:
        """The user id for new rows: the token's subject; what the client says only where it may."""
        if self.principal is None:
            return given
        if self.access.sees_all and given:
            return given
        return self.principal.subject

    @property
    def is_admin(self) -> bool:
        """Whether the administrator's scope is held."""
        return self.grants is not None and self.grants.is_admin

    def reaches(self, resource: str, action: str, identifier: str) -> bool:
        """Whether a per-object permission is held. True everywhere while authorization is off."""
        return self.grants is None or self.grants.permits(resource, action, identifier)


OPEN = Caller(principal=None, grants=None, access=Access(NOBODY))
"""The caller of the open loopback server: nobody, whose rows are nobody's."""

ANYBODY = Caller(principal=None, grants=Grants(), access=Access("|anybody"))
"""The caller of a public route: holds no grant, and owns no row."""


def caller_of(connection: HTTPConnection) -> Caller:
    """The caller that the chain has established for this request."""
    return from_scope(connection.scope)


def from_scope(scope: Mapping[str, Any]) -> Caller:
    """The same, from the bare ASGI scope."""
    caller = scope[SCOPE_KEY]
    assert isinstance(caller, Caller)  # noqa: S101 - only the gate writes this key
    return caller
