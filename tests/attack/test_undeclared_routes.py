"""Ways to reach what no rule opens, or to bar the way to what one does."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from licet.errors import ConfigurationError
from licet.os import AgentOS
from tests.support.live import serve, status_of
from tests.support.world import OWNER, World


async def secret(_request: Request) -> Response:
    return PlainTextResponse("secret")


class HalfMatchingRoute(Route):
    """Matches in a way that routers take for a wrong method, and serves all the same."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        return (Match.PARTIAL if match is Match.FULL else match), child


class CarelessRoute(Route):
    """Serves every method, whichever it was made for."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("kind", [HalfMatchingRoute, CarelessRoute])
def test_a_half_match_runs_nothing(kind: type[Route], method: str) -> None:
    base, world = FastAPI(), World()
    base.router.routes.append(kind("/mine", secret))
    token = world.bearer(OWNER, "agents:run")["Authorization"]
    with serve(world.agent_os(base_app=base).get_app()) as server:
        answer = server.get("/mine", f"Authorization: {token}", method=method)
    assert status_of(answer) in {403, 405}
    assert b"secret" not in answer


def test_a_wrong_method_is_told_the_right_ones() -> None:
    world = World()
    with serve(world.agent_os().get_app()) as server:
        answer = httpx.put(f"{server.url}/config", headers=world.bearer(OWNER, "config:read"))
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.json() == {"detail": "Method Not Allowed"}


def test_a_mapping_of_the_root_does_not_open_an_app_of_another_host() -> None:
    base, world = FastAPI(), World()
    base.host("127.0.0.1", Starlette(routes=[Route("/mine", secret)]))
    config: dict[str, Any] = {"scope_mappings": {"GET /": []}}
    token = world.bearer(OWNER, "agents:run")["Authorization"]
    with serve(world.agent_os(base_app=base, config=config).get_app()) as server:
        answer = server.get("/mine", f"Authorization: {token}")
    assert status_of(answer) == 403


def test_an_app_of_another_host_can_be_opened_by_its_name() -> None:
    base, world = FastAPI(), World()
    base.host("127.0.0.1", Starlette(routes=[Route("/mine", secret)]))
    config = {"public_paths": ["//127.0.0.1"]}
    with serve(world.agent_os(base_app=base, config=config).get_app()) as server:
        assert status_of(server.get("/mine")) == 200


def test_a_page_for_everything_does_not_stand_before_the_server() -> None:
    base, world = FastAPI(), World()
    base.add_route("/{path:path}", secret, methods=["GET", "POST"])
    base.mount("/", Starlette(routes=[Route("/{path:path}", secret)]))
    config = {"public_paths": ["/{path:path}"]}
    with serve(world.agent_os(base_app=base, config=config).get_app()) as server:
        headers = world.bearer(OWNER, "agents:read")
        agents = httpx.get(f"{server.url}/agents", headers=headers).json()
        assert [agent["id"] for agent in agents] == ["alpha", "beta"]
        assert httpx.get(f"{server.url}/agents").status_code == 401
        assert httpx.get(f"{server.url}/else").text == "secret"


def test_a_route_that_cannot_be_reached_is_named(caplog: pytest.LogCaptureFixture) -> None:
    base = FastAPI()
    base.add_route("/health", secret)
    with serve(World().agent_os(base_app=base).get_app()) as server:
        assert httpx.get(f"{server.url}/health").json()["status"] == "ok"
    assert "GET /health of base_app is not reached" in caplog.text


def test_a_second_server_cannot_open_the_first() -> None:
    base, world = FastAPI(), World()
    world.agent_os(base_app=base).get_app()
    with pytest.raises(ConfigurationError, match="another AgentOS"):
        AgentOS(db=world.db, base_app=base).get_app()
