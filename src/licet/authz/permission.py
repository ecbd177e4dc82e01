"""Permission: what a route asks of its caller."""

from __future__ import annotations

from dataclasses import dataclass, field

from licet.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Permission:
    """A resource and an action.

    Args:
        resource: the family, e.g. ``agents``.
        action: what is done, e.g. ``run``.
        id_param: the path parameter that names one object: a grant for that object is enough.
        listing: the answer shows what the grants reach; any reach at all is enough.

    Attributes:
        scope: the scope that opens it, as clients know it.
    """

    resource: str
    action: str
    id_param: str | None = None
    listing: bool = False
    scope: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Made once: every request names it several times.
        object.__setattr__(self, "scope", f"{self.resource}:{self.action}")

    @classmethod
    def parse(cls, scope: str, *, id_param: str | None = None, listing: bool = False) -> Permission:
        """The permission that ``resource:action`` names.

        Raises:
            ConfigurationError: not of that form.
        """
        resource, colon, action = scope.partition(":")
        if not (resource and colon and action) or ":" in action or "*" in scope:
            raise ConfigurationError(f"permission {scope!r} is not of the form 'resource:action'")
        return cls(resource, action, id_param=id_param, listing=listing)
