"""What is asked of a router's routes is less than the router asks; what is found is the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Host, Match, Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from licet.os.matching import Matched, Matcher


async def answer(_request: Request) -> Response:
    return PlainTextResponse("answered")


async def talk(_websocket: WebSocket) -> None: ...


class Anywhere(BaseRoute):
    """A route with a matching of its own."""

    path = "/agents"

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.FULL if "any" in scope["path"] else Match.NONE), {"found": "anywhere"}


def scope_of(path: str, method: str = "GET", **more: Any) -> Scope:
    scope = {"type": "http", "path": path, "method": method, "headers": [], **more}
    if method == "WEBSOCKET":
        scope |= {"type": "websocket"}
    return scope


def asked_of_all(router: APIRouter, scope: Scope) -> tuple[BaseRoute, Scope, bool] | None:
    """What Starlette's router does: it asks them all, in their order."""
    partial = None
    for route in router.routes:
        match, found = route.matches(scope)
        if match is Match.FULL:
            return route, found, True
        if match is Match.PARTIAL and partial is None:
            partial = route, found, False
    return partial


def found_by(matcher: Matcher, scope: Scope) -> tuple[BaseRoute, Scope, bool] | None:
    found = matcher._match(scope)
    return None if found is None else (found.route, dict(found.found), found.full)


SEGMENTS = st.sampled_from(
    ("agents", "runs", "Agents", "any", "{x}", "a{x}", "{x:int}", "{x:path}")
)
TEMPLATES = st.lists(SEGMENTS, max_size=3, unique=True).map(lambda parts: "/" + "/".join(parts))
PATHS = st.one_of(
    st.lists(st.sampled_from(("agents", "runs", "Agents", "any", "7", "a", "", "\n")), max_size=4)
    .map(lambda parts: "/" + "/".join(parts))
    .flatmap(lambda path: st.sampled_from((path, path + "\n", path + "/", "/" + path))),
    st.sampled_from(("", "*", "agents", "agents/runs")),
)


def _route(kind: str, template: str) -> BaseRoute:
    one = template.replace("{x:path}", "{x}")
    makers: dict[str, Callable[[], BaseRoute]] = {
        "get": lambda: Route(template, answer),
        "post": lambda: Route(template, answer, methods=["POST"]),
        "socket": lambda: WebSocketRoute(template, talk),
        "mount": lambda: Mount(one.replace("{x}", "x").rstrip("/"), Starlette()),
        "host": lambda: Host("host", Starlette()),
        "own": Anywhere,
    }
    return makers[kind]()


KINDS = st.sampled_from(("get", "post", "socket", "mount", "host", "own", "api", "included"))


@st.composite
def routers(draw: st.DrawFn) -> APIRouter:
    """Whatever routes in whatever order."""
    app = FastAPI(openapi_url=None)
    for kind in draw(st.lists(KINDS, max_size=8)):
        template = draw(TEMPLATES.filter(lambda text: text.count("{x") < 2))
        if kind == "api":
            app.router.add_api_route(template, answer, response_model=None)
        elif kind == "included":
            inner = APIRouter()
            inner.add_api_route(template, answer, response_model=None)
            app.include_router(inner, prefix=draw(st.sampled_from(("", "/agents"))))
        else:
            app.router.routes.append(_route(kind, template))
    return app.router


@given(routers(), st.lists(st.tuples(PATHS, st.sampled_from(("GET", "POST", "WEBSOCKET")))))
def test_the_route_is_that_of_the_router_itself(
    router: APIRouter, asked: list[tuple[str, str]]
) -> None:
    matcher = Matcher(router)
    for path, method in asked:
        for root in ({}, {"root_path": "/agents"}):
            scope = scope_of(path, method, **root)
            assert found_by(matcher, scope) == asked_of_all(router, scope)


def router_of(*routes: BaseRoute) -> APIRouter:
    return APIRouter(routes=list(routes))


def path_of(found: Matched | None) -> str | None:
    return None if found is None else getattr(found.route, "path", "")


def test_routes_that_are_of_another_name_are_not_asked() -> None:
    asked: list[str] = []

    def matches(route: Route, scope: Scope) -> tuple[Match, Scope]:
        asked.append(route.path)
        return Route.matches(route, scope)

    routes = [Route(path, answer) for path in ("/runs", "/runs/{x}", "/agents/{x}", "/{x}")]
    matcher = Matcher(router_of(*routes))
    for route in routes:
        route.matches = matches.__get__(route)  # type: ignore[method-assign]  # looks on
    assert path_of(matcher.match(scope_of("/agents"))) == "/{x}"
    assert asked == ["/agents/{x}", "/{x}"]


class TestLater:
    def test_a_route_that_is_added_is_found(self) -> None:
        router = router_of(Route("/runs", answer))
        matcher = Matcher(router)
        assert matcher.match(scope_of("/agents")) is None
        router.routes.insert(0, Route("/agents", answer))
        assert path_of(matcher.match(scope_of("/agents"))) == "/agents"

    def test_a_route_that_is_taken_away_is_not(self) -> None:
        router = router_of(Route("/agents", answer), Route("/runs", answer))
        matcher = Matcher(router)
        assert matcher.match(scope_of("/runs")) is not None
        router.routes.pop()
        assert matcher.match(scope_of("/runs")) is None

    def test_of_two_that_are_equal_it_is_the_one_that_is_there(self) -> None:
        """Starlette's routes are equal where path, endpoint and methods are."""
        router = router_of(Route("/agents", answer))
        matcher = Matcher(router)
        assert matcher.match(scope_of("/agents")) is not None
        router.routes[0] = Route("/agents", answer, name="other")
        found = matcher.match(scope_of("/agents"))
        assert found is not None
        assert found.route is router.routes[0]


class TestForms:
    @pytest.mark.parametrize(
        ("path", "method", "full"),
        [
            ("/agents", "GET", True),
            ("/agents", "HEAD", True),
            ("/agents/", "GET", True),
            ("/agents/", "HEAD", True),
            ("/agents", "POST", False),
        ],
    )
    def test_it_is_found(self, path: str, method: str, *, full: bool) -> None:
        found = Matcher(router_of(Route("/agents", answer))).match(scope_of(path, method))
        assert found is not None
        assert found.full is full

    @pytest.mark.parametrize("template", ["/agents", "/{x}", "/agents/{x:path}"])
    @pytest.mark.parametrize("path", ["/agents", "/agents\n", "/agents/\n", "/agents\n/x"])
    def test_a_line_break_in_it_makes_no_difference_to_the_router(
        self, path: str, template: str
    ) -> None:
        router = router_of(Route(template, answer))
        assert found_by(Matcher(router), scope_of(path)) == asked_of_all(router, scope_of(path))

    @pytest.mark.parametrize("path", ["//agents", "/AGENTS", "/agents//", "/agents/x", "", "/"])
    def test_it_is_not(self, path: str) -> None:
        assert Matcher(router_of(Route("/agents", answer))).match(scope_of(path)) is None


async def test_the_route_answers_with_what_it_found_in_the_scope() -> None:
    seen: list[Scope] = []

    class Seeing(Route):
        async def handle(self, scope: Scope, _receive: Receive, _send: Send) -> None:
            seen.append(scope)

    found = Matcher(router_of(Seeing("/agents/{x}", answer))).match(scope_of("/agents/7"))
    assert found is not None
    assert found.path_params == {"x": "7"}

    async def nothing(*_: Any) -> Any: ...

    await found.serve({**found.scope, "mine": True}, nothing, nothing)
    assert seen == [
        {**scope_of("/agents/7"), "mine": True, "endpoint": answer, "path_params": {"x": "7"}}
    ]
