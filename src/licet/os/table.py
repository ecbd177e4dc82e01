"""The route table: every way into the app, with the rule that guards it.

It is read from the router itself each time, so a route that is added later is in it. Templates are
compared with their placeholders' names taken out: ``/reports/{id}`` and ``/reports/{report_id}``
are one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi.routing import (
    APIRoute,
    APIRouter,
    APIWebSocketRoute,
    RouteContext,
    iter_route_contexts,
)
from starlette.routing import BaseRoute, Host, Match, Mount, Route, WebSocketRoute

from licet.os.front_ends import front_end_templates
from licet.os.mappings import ANY_METHOD, normal_template, parse_mappings, placeholders
from licet.os.rules import Rule, declared

WEBSOCKET = "WEBSOCKET"
FRONT_END = "frontend"
_OWN_MATCHERS = frozenset(
    kind.matches for kind in (APIRoute, APIWebSocketRoute, Route, WebSocketRoute, Mount, Host)
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: a template with its methods, and the rule. ``rule`` None: undeclared.

    ``kind`` is ``http``, ``websocket``, ``mount`` or ``frontend``; the last takes no rule.
    """

    methods: tuple[str, ...]
    template: str
    kind: str
    rule: Rule | None


@dataclass(frozen=True, slots=True)
class Leaf:
    """The route at the end of the way: where included routers lead, the route inside them.

    ``mapped`` is the template as mappings know it.
    """

    template: str
    mapped: str
    kind: str
    methods: frozenset[str]
    endpoint: Callable[..., Any] | None
    known: bool


class Guarded(msgspec.Struct, frozen=True):
    """What stands before one request: the route's template, its rule, its path parameters.

    ``methods`` are those that the route serves.
    """

    template: str
    rule: Rule | None
    path_params: Mapping[str, Any]
    methods: frozenset[str] = frozenset()


class RouteTable:
    """The rules of one router.

    Args:
        router: whose routes they are.
        scope_mappings: ``{"GET /reports/{id}": ["reports:read"]}``; a scope may name a placeholder
            (``reports:{id}:read``); an empty list asks for any verified caller.
        public_paths: templates that need no credential.

    Raises:
        ConfigurationError: an entry is not of that form, or two say different things of one route.
    """

    def __init__(
        self,
        router: APIRouter,
        *,
        scope_mappings: Mapping[str, Sequence[str]] | None = None,
        public_paths: Sequence[str] = (),
    ) -> None:
        self._router = router
        self._mapped = parse_mappings(scope_mappings or {}, public_paths)
        self._plain: dict[int, tuple[BaseRoute, Leaf]] = {}

    def entries(self) -> Iterator[Entry]:
        """Every route of the app, in the order in which the router tries them."""
        for leaf in _leaves(self._router.routes):
            for method in sorted(leaf.methods):
                yield Entry((method,), leaf.template, leaf.kind, self._rule(leaf, method))
        for template in front_end_templates(self._router):
            yield Entry(("GET",), template, FRONT_END, None)

    def unbound(self) -> list[str]:
        """Mappings that no route answers to: they would guard nothing."""
        leaves = [(leaf.mapped, leaf.methods) for leaf in _leaves(self._router.routes)]
        return [
            f"{method} {path}"
            for (method, path) in self._mapped
            if not any(
                path == template and (method == ANY_METHOD or {method, ANY_METHOD} & methods)
                for template, methods in leaves
            )
        ]

    def guarded(
        self, route: BaseRoute, scope: Mapping[str, Any], path_params: Mapping[str, Any]
    ) -> Guarded:
        """What guards the route that serves this request.

        ``route`` is what the router matched, with ``path_params``; for an included router the
        route inside is looked up, with its own. A route class with a matching of its own cannot be
        followed: it counts as undeclared.
        """
        leaf, inner_params = self._leaf(route, scope)
        if leaf is None:
            return Guarded("", None, path_params)
        method = WEBSOCKET if scope["type"] == "websocket" else scope["method"]
        rule = self._rule(leaf, method) if leaf.known else None
        found = inner_params or path_params
        if rule is not None and rule.placeholders:
            # A mapping has names of its own for the placeholders: they are meant by their place.
            values = [found.get(name) for name in placeholders(leaf.template)]
            found = dict(zip(rule.placeholders, values, strict=False))
        return Guarded(leaf.template, rule, found, leaf.methods)

    def _rule(self, leaf: Leaf, method: str) -> Rule | None:
        # A mapping stands above what the route itself says: it is the operator's word.
        asked = "GET" if method == "HEAD" else method
        return (
            self._mapped.get((asked, leaf.mapped))
            or self._mapped.get((ANY_METHOD, leaf.mapped))
            or declared(leaf.endpoint)
        )

    def _leaf(
        self, route: BaseRoute, scope: Mapping[str, Any]
    ) -> tuple[Leaf | None, Mapping[str, Any]]:
        known = self._plain.get(id(route))
        if known is not None:
            return known[1], {}
        partial: tuple[Leaf | None, Mapping[str, Any]] = (None, {})
        for context in iter_route_contexts([route]):
            if context.original_route is route:
                leaf = _leaf_of(context)
                # The route is kept beside its leaf, so that its id cannot be given to another.
                self._plain[id(route)] = (route, leaf)
                return leaf, {}
            match, child = context.matches(scope)
            if match is Match.FULL:
                return _leaf_of(context), child.get("path_params", {})
            if match is Match.PARTIAL and partial[0] is None:
                partial = _leaf_of(context), child.get("path_params", {})
        return partial


def _leaves(routes: Sequence[BaseRoute]) -> Iterator[Leaf]:
    for context in iter_route_contexts(routes):
        yield _leaf_of(context)


def _leaf_of(context: RouteContext) -> Leaf:
    original = context.original_route
    websocket = isinstance(original, WebSocketRoute)
    methods = {WEBSOCKET} if websocket else set(context.methods or {ANY_METHOD})
    if "GET" in methods:
        methods.discard("HEAD")
    template = f"//{original.host}" if isinstance(original, Host) else context.path or ""
    return Leaf(
        template=template,
        mapped=normal_template(template),
        kind="websocket" if websocket else "http" if context.methods else "mount",
        methods=frozenset(methods),
        endpoint=context.endpoint,
        known=type(original).matches in _OWN_MATCHERS,
    )
