"""The families of things that permissions are about, and what can be done with each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from licet.errors import ConfigurationError

_WORD = re.compile(r"[A-Za-z0-9._-]+")
_READ_WRITE_DELETE = frozenset(("read", "write", "delete"))
_COMPONENT = frozenset(("read", "run", "write", "delete"))


@dataclass(frozen=True, slots=True)
class Family:
    """A resource. ``has_ids``: a permission can be about one object of it."""

    actions: frozenset[str]
    has_ids: bool = True


_KNOWN: Mapping[str, Family] = MappingProxyType(
    {
        "agents": Family(_COMPONENT),
        "teams": Family(_COMPONENT),
        "workflows": Family(_COMPONENT),
        "sessions": Family(_READ_WRITE_DELETE),
        "memories": Family(_READ_WRITE_DELETE),
        "knowledge": Family(_READ_WRITE_DELETE),
        "traces": Family(frozenset(("read",))),
        "approvals": Family(_READ_WRITE_DELETE),
        "schedules": Family(_READ_WRITE_DELETE),
        "service_accounts": Family(_READ_WRITE_DELETE),
        "revocations": Family(_READ_WRITE_DELETE, has_ids=False),
        "audit": Family(frozenset(("read",)), has_ids=False),
        "authz": Family(frozenset(("explain",)), has_ids=False),
        "config": Family(frozenset(("read", "write")), has_ids=False),
        "telemetry": Family(frozenset(("read",)), has_ids=False),
        "metrics": Family(frozenset(("read", "write")), has_ids=False),
    }
)
_ALIASES: Mapping[str, str] = MappingProxyType({"system": "config"})


@dataclass(frozen=True, eq=False)
class Families:
    """Every family that a scope may name. Immutable; two are the same only if they are one."""

    known: Mapping[str, Family] = field(default_factory=lambda: _KNOWN)
    aliases: Mapping[str, str] = field(default_factory=lambda: _ALIASES)

    def resolve(self, name: str) -> str:
        """The family's own name, where an alias was used."""
        return self.aliases.get(name, name)

    def of(self, name: str) -> Family | None:
        """The family of that name or alias."""
        return self.known.get(self.resolve(name))

    def with_family(self, name: str, actions: Iterable[str], *, has_ids: bool = True) -> Families:
        """These families and one more.

        Raises:
            ConfigurationError: the names cannot stand in a scope, or the family exists.
        """
        if self.resolve(name) in self.known:
            raise ConfigurationError(f"the family {name!r} exists; add to it by with_action()")
        return self._with(name, Family(frozenset(actions), has_ids))

    def with_action(self, name: str, action: str) -> Families:
        """These families, and the action of a family that may be new; for routes of one's own.

        Raises:
            ConfigurationError: the names cannot stand in a scope.
        """
        name = self.resolve(name)
        family = self.known.get(name, Family(frozenset()))
        return self._with(name, Family(family.actions | {action}, family.has_ids))

    def _with(self, name: str, family: Family) -> Families:
        for word in (name, *family.actions):
            if not _WORD.fullmatch(word):
                raise ConfigurationError(
                    f"{word!r} cannot stand in a scope: letters, digits, '.', '_' and '-' can"
                )
        return Families(MappingProxyType({**self.known, name: family}), self.aliases)


DEFAULT_FAMILIES = Families()
"""The families of Licet's own interface."""
