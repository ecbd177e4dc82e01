"""Caller: who sent this request, what they may reach, and on whose behalf rows are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import HTTPConnection

from licet.authn.principal import Principal, owner_key
from licet.authz.grants import Grants
from licet.db.base import NOBODY, Access

SCOPE_KEY = "licet.caller"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """One request's caller; ``principal`` is None on the open server and on public routes.

    ``grants`` None means that nothing is checked: authorization is off.
    """

    principal: Principal | None
    grants: Grants | None
    access: Access

    def owner_for(self, user_id: str | None) -> str:
        """Whose rows are looked for: one's own, or those of the user whom who sees all names."""
        if self.principal is not None and self.access.sees_all and user_id:
            return owner_key(self.principal.issuer_alias, user_id)
        return self.access.owner

    def new_owner(self, user_id: str | None) -> str:
        """Whose new rows are: one's own, or those of the user whom the administrator names.

        To see all is not to be anybody: without isolation, nobody else writes under a user's name.
        """
        return self.owner_for(user_id) if self.is_admin else self.access.owner

    def user_id(self, given: str | None) -> str | None:
        """The user id for new rows: the token's subject, or the user whom the administrator names.

        Where nobody is authenticated it is what the client says.
        """
        if self.principal is None:
            return given
        return given if self.is_admin and given else self.principal.subject

    @property
    def is_admin(self) -> bool:
        """Whether the administrator's scope is held."""
        return self.grants is not None and self.grants.is_admin


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
