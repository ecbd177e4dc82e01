"""Matching: the route that the router itself would choose for a request.

A router asks all of its routes, in their order. Most of them begin with a name (``/agents/…``) that
a path of another name cannot match; those are passed over. Whether a route matches, only the route
itself says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from fastapi.routing import APIRoute, APIRouter, APIWebSocketRoute
from starlette.routing import BaseRoute, Match, Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

_MATCH_BY_TEMPLATE = frozenset(
    kind.matches for kind in (APIRoute, APIWebSocketRoute, Route, WebSocketRoute, Mount)
)
# Also before a line break, in front of which a template may end.
_first_name = re.compile(r"/([^/\n]*)").match


class Matched(msgspec.Struct, frozen=True):
    """A route and the scope in which it matched; ``full`` tells whether its method did too.

    ``found`` is what the route adds to the scope.
    """

    route: BaseRoute
    scope: Scope
    found: Mapping[str, Any]
    full: bool

    @property
    def path_params(self) -> Mapping[str, Any]:
        """The values of the template's placeholders."""
        params: Mapping[str, Any] = self.found.get("path_params", {})
        return params

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the route answer, as its router does when it has found it."""
        scope.update(self.found)
        await self.route.handle(scope, receive, send)


class Matcher:
    """Finds the routes of one router, also those that are added later."""

    def __init__(self, router: APIRouter) -> None:
        self._router = router
        self._known: list[BaseRoute] = []
        self._named: Mapping[str, Sequence[int]] = {}
        self._unnamed: Sequence[int] = ()

    def match(self, scope: Scope) -> Matched | None:
        """What the router would match. HEAD is answered by GET, a final slash is tolerated."""
        found = self._match(scope)
        if found is not None and found.full:
            return found
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET"}
            found = self._match(scope) or found
        path: str = scope["path"]
        if found is None and path != "/":
            other = path[:-1] if path.endswith("/") else path + "/"
            found = self._match({**scope, "path": other})
        return found

    def _match(self, scope: Scope) -> Matched | None:
        partial = None
        for route in self._asked(scope):
            how_far, found = route.matches(scope)
            if how_far is Match.FULL:
                return Matched(route, scope, found, full=True)
            if how_far is Match.PARTIAL and partial is None:
                partial = Matched(route, scope, found, full=False)
        return partial

    def _asked(self, scope: Scope) -> Iterator[BaseRoute]:
        """The routes that may match, in their order."""
        routes = self._router.routes
        # Below a mount, templates are those of what comes after its own path.
        if scope.get("root_path"):
            return iter(routes)
        if routes != self._known:
            self._learn(routes)
        name = _first_name(scope["path"])
        places = self._unnamed if name is None else self._named.get(name[1], self._unnamed)
        # By their places: of two routes that are equal, the one is asked that is there now.
        return map(routes.__getitem__, places)

    def _learn(self, routes: Sequence[BaseRoute]) -> None:
        names = [_name_of(route) for route in routes]
        self._unnamed = [place for place, name in enumerate(names) if name is None]
        self._named = {
            name: [place for place, other in enumerate(names) if other is None or other == name]
            for name in {name for name in names if name is not None}
        }
        self._known = list(routes)


def _name_of(route: BaseRoute) -> str | None:
    """The name with which every path begins that a route can match; None: there is no such."""
    if type(route).matches not in _MATCH_BY_TEMPLATE:
        return None
    template: str = getattr(route, "path", "")
    # The path of a mount at the root is empty.
    found = _first_name(template)
    return None if found is None or "{" in found[1] else found[1]
