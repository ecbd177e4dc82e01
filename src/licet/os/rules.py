"""What a route asks of its caller, stated where the route is defined.

    @router.get("/agents/{agent_id}")
    @requires("agents:read", id_param="agent_id")
    async def get_agent(...): ...

A route without a rule is *undeclared*: closed to everyone but the administrator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from licet.authz.permission import Permission
from licet.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])

_ATTRIBUTE = "__licet_rule__"


@dataclass(frozen=True, slots=True)
class Rule:
    """A route's demand: everybody may (``public``), or a caller who holds all ``permissions``.

    With no permissions and not public, any verified caller may. ``source`` names where it was said;
    ``placeholders`` are the names that it has for the template's, by their place.
    """

    permissions: tuple[Permission, ...] = ()
    public: bool = False
    source: str = "route"
    placeholders: tuple[str, ...] = ()

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes as clients know them, e.g. ``("agents:run",)``."""
        return tuple(permission.scope for permission in self.permissions)


def requires(scope: str, *, id_param: str | None = None, listing: bool = False) -> Callable[[F], F]:
    """Declare the permission of the route that the decorated endpoint serves.

    Args:
        scope: ``resource:action``.
        id_param: the path parameter that names one object, so that ``resource:<id>:action`` is
            enough for that object.
        listing: the route answers what the caller's grants reach of the family, and is closed only
            to those whose grants reach nothing of it.

    Several of them on one endpoint are all needed.

    Raises:
        ConfigurationError: the scope is not of that form, or the endpoint is public already.
    """
    permission = Permission.parse(scope, id_param=id_param, listing=listing)

    def declare(endpoint: F) -> F:
        known = declared(endpoint)
        if known is not None and known.public:
            raise ConfigurationError(f"an endpoint is public and needs {scope!r} at once")
        others = () if known is None else known.permissions
        setattr(endpoint, _ATTRIBUTE, Rule((permission, *others)))
        return endpoint

    return declare


def public(endpoint: F) -> F:
    """Declare that everybody may, without any credential.

    Raises:
        ConfigurationError: the endpoint needs a permission already.
    """
    known = declared(endpoint)
    if known is not None and not known.public:
        raise ConfigurationError(f"an endpoint needs {', '.join(known.scopes)} and is public")
    setattr(endpoint, _ATTRIBUTE, Rule(public=True))
    return endpoint


def declared(endpoint: object) -> Rule | None:
    """The rule that was declared on an endpoint; None: undeclared."""
    rule = getattr(endpoint, _ATTRIBUTE, None)
    return rule if isinstance(rule, Rule) else None
