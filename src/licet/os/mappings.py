"""Mappings: what the operator says about routes of their own.

``{"GET /reports/{id}": ["reports:read"]}`` is compared with route templates, their placeholders'
names taken out, and never with raw paths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from licet.authz.permission import Permission
from licet.errors import ConfigurationError
from licet.os.rules import Rule

ANY_METHOD = "*"

RouteKey = tuple[str, str]
"""A method, and a template whose placeholders have no names."""

_PLACEHOLDER = re.compile(r"\{([^}/:]*)(?::[^}/]*)?\}|(?<=/)\*(?=/|$)")
_ID_SCOPE = re.compile(r"([^:]+):\{([A-Za-z_][A-Za-z0-9_]*)\}:([^:]+)")


@lru_cache(maxsize=4096)
def normal_template(template: str) -> str:
    """A template without its placeholders' names and its final slash.

    A placeholder for a whole path stays one: a mapping for one segment does not open it.
    """
    return _PLACEHOLDER.sub(_nameless, template).rstrip("/") or "/"


def _nameless(match: re.Match[str]) -> str:
    return "{:path}" if match[0].endswith(":path}") else "{}"


@lru_cache(maxsize=4096)
def placeholders(template: str) -> tuple[str, ...]:
    """The names of a template's placeholders, in their order; "" for one without a name."""
    return tuple(name or "" for name in _PLACEHOLDER.findall(template))


def parse_mappings(
    scope_mappings: Mapping[str, Sequence[str]],
    public_paths: Sequence[str] = (),
) -> dict[RouteKey, Rule]:
    """The rules that the operator gives, by route.

    Raises:
        ConfigurationError: an entry is not of that form, or two say different things of one route.
    """
    rules: dict[RouteKey, Rule] = {}
    for key, scopes in scope_mappings.items():
        method, _, path = key.partition(" ")
        if not path.startswith("/") or not (method.isalpha() or method == ANY_METHOD):
            raise ConfigurationError(
                f"scope_mappings: {key!r} is not of the form 'GET /path/{{placeholder}}'"
            )
        if isinstance(scopes, str):
            raise ConfigurationError(f"scope_mappings: {key!r} needs a list of scopes")
        permissions = tuple(_permission(scope, key) for scope in scopes)
        rule = Rule(permissions, source="scope_mappings", placeholders=placeholders(path))
        _add(rules, (method.upper(), normal_template(path)), rule)
    for path in public_paths:
        if not path.startswith("/"):
            raise ConfigurationError(f"public_paths: {path!r} does not begin with '/'")
        _add(rules, (ANY_METHOD, normal_template(path)), Rule(public=True, source="public_paths"))
    return rules


def _add(rules: dict[RouteKey, Rule], key: RouteKey, rule: Rule) -> None:
    if key in rules:
        raise ConfigurationError(f"{key[0]} {key[1]} is mapped twice")
    opposed = [k for k, r in rules.items() if k[1] == key[1] and r.public is not rule.public]
    if opposed:
        raise ConfigurationError(f"{key[1]} is public and needs scopes at once")
    rules[key] = rule


def _permission(scope: str, key: str) -> Permission:
    by_id = _ID_SCOPE.fullmatch(scope)
    if by_id:
        resource, id_param, action = by_id.groups()
        if id_param not in placeholders(key):
            raise ConfigurationError(
                f"scope_mappings: {scope!r} names a placeholder that {key!r} does not have"
            )
        return Permission(resource, action, id_param=id_param)
    if len(scope.split(":")) != 2 or not all(scope.split(":")):  # noqa: PLR2004 - two parts
        raise ConfigurationError(
            f"scope_mappings: {scope!r} is neither 'resource:action' nor 'resource:{{id}}:action'"
        )
    return Permission.parse(scope)
