"""Grants: scopes, compiled once, so that a check is a look-up."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar

from licet.authz.families import DEFAULT_FAMILIES, Families
from licet.authz.scope import (
    DEFAULT_ADMIN_SCOPE,
    AdminScope,
    Scope,
    UnusableScope,
    parse_scope,
)

logger = logging.getLogger(__name__)

_CACHED_GRANTS = 4096


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a permission goes: ``ids`` None is every object, an empty set is none."""

    ids: frozenset[str] | None

    ALL: ClassVar[Reach]
    NONE: ClassVar[Reach]

    def __contains__(self, identifier: object) -> bool:
        return self.ids is None or identifier in self.ids

    @property
    def is_none(self) -> bool:
        """Whether nothing at all is reached."""
        return self.ids is not None and not self.ids

    @property
    def is_all(self) -> bool:
        """Whether every object is reached."""
        return self.ids is None


Reach.ALL = Reach(None)
Reach.NONE = Reach(frozenset())


@dataclass(frozen=True, slots=True)
class Grants:
    """What a caller holds. ``unusable`` are scopes that grant nothing, with the reasons."""

    reaches: Mapping[tuple[str, str], Reach] = field(default_factory=dict)
    is_admin: bool = False
    unusable: tuple[UnusableScope, ...] = ()

    def reach(self, resource: str, action: str) -> Reach:
        """How far the permission goes."""
        if self.is_admin:
            return Reach.ALL
        return self.reaches.get((resource, action), Reach.NONE)

    def permits(self, resource: str, action: str, identifier: str | None = None) -> bool:
        """Whether the permission is held for one object; without an id: for the whole family."""
        reach = self.reach(resource, action)
        return reach.is_all if identifier is None else identifier in reach

    def covers(self, scope: Scope | AdminScope) -> bool:
        """Whether everything that a scope grants is held: who holds it may pass it on."""
        if isinstance(scope, AdminScope):
            return self.is_admin
        return self.permits(scope.resource, scope.action, scope.identifier)


@lru_cache(maxsize=_CACHED_GRANTS)
def compile_grants(
    scopes: tuple[str, ...],
    *,
    admin_scope: str = DEFAULT_ADMIN_SCOPE,
    families: Families = DEFAULT_FAMILIES,
) -> Grants:
    """The grants of these scopes. Callers with the same scopes share them."""
    ids: dict[tuple[str, str], set[str] | None] = {}
    is_admin = False
    unusable: list[UnusableScope] = []
    for text in scopes:
        scope = parse_scope(text, admin_scope=admin_scope, families=families)
        if isinstance(scope, AdminScope):
            is_admin = True
        elif isinstance(scope, UnusableScope):
            # Once for each set of scopes, not for each request: the answer is remembered.
            logger.debug("the scope %r grants nothing: %s", scope.text, scope.reason)
            unusable.append(scope)
        elif scope.identifier is None:
            ids[scope.resource, scope.action] = None
        else:
            known = ids.setdefault((scope.resource, scope.action), set())
            if known is not None:
                known.add(scope.identifier)
    reaches = {
        key: Reach.ALL if found is None else Reach(frozenset(found)) for key, found in ids.items()
    }
    # A route may name the family by its other name, too.
    for alias, name in families.aliases.items():
        reaches |= {(alias, action): reach for (n, action), reach in reaches.items() if n == name}
    return Grants(MappingProxyType(reaches), is_admin, tuple(unusable))
