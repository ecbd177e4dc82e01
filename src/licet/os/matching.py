"""Matching: the route that the router itself would choose for a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

if TYPE_CHECKING:
    from fastapi.routing import APIRouter


@dataclass(frozen=True, slots=True)
class Matched:
    """A route and the scope in which it matched; ``full`` tells whether its method did too."""

    route: BaseRoute
    scope: Scope
    path_params: Mapping[str, Any]
    full: bool


def match(router: APIRouter, scope: Scope) -> Matched | None:
    """What the router would match. HEAD is answered by GET, and a final slash is tolerated."""
    found = _match(router, scope)
    if found is not None and found.full:
        return found
    if scope.get("method") == "HEAD":
        scope = {**scope, "method": "GET"}
        found = _match(router, scope) or found
    path: str = scope["path"]
    if found is None and path != "/":
        other = path[:-1] if path.endswith("/") else path + "/"
        found = _match(router, {**scope, "path": other})
    return found


def _match(router: APIRouter, scope: Scope) -> Matched | None:
    partial = None
    for route in router.routes:
        how_far, child = route.matches(scope)
        if how_far is Match.FULL:
            return Matched(route, scope, child.get("path_params", {}), full=True)
        if how_far is Match.PARTIAL and partial is None:
            partial = Matched(route, scope, child.get("path_params", {}), full=False)
    return partial
