"""Scopes: what a token says that its holder may do.

The grammar is ``resource:action``, ``resource:<id>:action`` and ``resource:*:action``, and one word
of its own for the administrator. Nothing else grants anything, and whoever asks is told why.
"""

from __future__ import annotations

from dataclasses import dataclass

from licet.authz.families import DEFAULT_FAMILIES, Families

DEFAULT_ADMIN_SCOPE = "agent_os:admin"
WILDCARD = "*"
_WHOLE, _WITH_ID = 2, 3


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope that grants something. ``identifier`` None: every object of the resource."""

    resource: str
    action: str
    identifier: str | None = None

    def __str__(self) -> str:
        parts = [self.resource, self.action]
        if self.identifier is not None:
            parts.insert(1, self.identifier)
        return ":".join(parts)


@dataclass(frozen=True, slots=True)
class AdminScope:
    """The scope that grants everything."""


@dataclass(frozen=True, slots=True)
class UnusableScope:
    """A scope that can never grant anything, and why."""

    text: str
    reason: str


ParsedScope = Scope | AdminScope | UnusableScope


def parse_scope(
    text: str,
    *,
    admin_scope: str = DEFAULT_ADMIN_SCOPE,
    families: Families = DEFAULT_FAMILIES,
) -> ParsedScope:
    """What a scope of a token means here. Never raises: an unknown scope grants nothing.

    ``admin_scope`` is compared as a whole; where it is empty there is no administrator.
    """
    if admin_scope and text == admin_scope:
        return AdminScope()
    parts = text.split(":")
    if len(parts) not in {_WHOLE, _WITH_ID}:
        return UnusableScope(text, "not of the form resource:action or resource:<id>:action")
    resource, action = families.resolve(parts[0]), parts[-1]
    family = families.known.get(resource)
    if family is None:
        return UnusableScope(text, f"there is no resource {parts[0]!r}")
    if action not in family.actions:
        known = ", ".join(sorted(family.actions))
        return UnusableScope(text, f"{resource} has no action {action!r}; there are: {known}")
    if len(parts) == _WHOLE:
        return Scope(resource, action)
    return _with_id(text, resource, action, parts[1], has_ids=family.has_ids)


def _with_id(
    text: str, resource: str, action: str, identifier: str, *, has_ids: bool
) -> ParsedScope:
    if not has_ids:
        return UnusableScope(text, f"{resource} has no ids; use {resource}:{action}")
    if identifier == WILDCARD:
        return Scope(resource, action)
    if not identifier or WILDCARD in identifier or "/" in identifier:
        return UnusableScope(text, f"{identifier!r} is no id, and '*' stands only alone")
    if identifier != identifier.strip() or not identifier.isprintable():
        return UnusableScope(text, f"{identifier!r} is no id: white space around it, or no text")
    return Scope(resource, action, identifier)
