"""Tokens in cookies: as good as in the header, unless a page of another site could send them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websockets.sync.client as ws
from fastapi import FastAPI, WebSocket
from websockets.exceptions import InvalidStatus

from licet.os import TokenSource
from tests.support.live import LiveServer, serve
from tests.support.world import OWNER, World

WORLD = World()


def mine() -> FastAPI:
    app = FastAPI()

    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    return app


def served(**config: Any) -> Any:
    config = {"scope_mappings": {"WEBSOCKET /live": []}, **config}
    return serve(WORLD.agent_os(config=config, base_app=mine()).get_app())


@pytest.fixture(scope="module", params=list(TokenSource))
def served_source(request: pytest.FixtureRequest) -> Iterator[tuple[LiveServer, TokenSource]]:
    with served(token_source=request.param) as live:
        yield live, request.param


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with served(token_source=TokenSource.BOTH) as live:
        yield live


def token(*scopes: str) -> str:
    return WORLD.bearer(OWNER, *scopes)["Authorization"].removeprefix("Bearer ")


def cookie(*scopes: str, **more: str) -> dict[str, str]:
    return {"Cookie": f"theme=dark; access_token={token(*scopes)}; lang=la", **more}


def test_each_source_takes_its_own(served_source: tuple[LiveServer, TokenSource]) -> None:
    live, source = served_source
    url = f"{live.url}/agents"
    by_cookie = httpx.get(url, headers=cookie("agents:read")).status_code
    by_header = httpx.get(url, headers=WORLD.bearer(OWNER, "agents:read")).status_code
    assert (by_header, by_cookie) == {
        TokenSource.HEADER: (200, 401),
        TokenSource.COOKIE: (401, 200),
        TokenSource.BOTH: (200, 200),
    }[source]
    said = {
        TokenSource.HEADER: "Authorization header missing",
        TokenSource.COOKIE: "Cookie 'access_token' missing",
        TokenSource.BOTH: "Authorization header and cookie 'access_token' missing",
    }[source]
    assert httpx.get(url).json() == {"detail": said}


def test_reading_needs_no_proof(server: LiveServer) -> None:
    headers = cookie("agents:read", **{"Sec-Fetch-Site": "cross-site"})
    assert httpx.get(f"{server.url}/agents", headers=headers).status_code == 200
    assert httpx.head(f"{server.url}/agents", headers=headers).status_code == 200


class TestChanging:
    def create(self, server: LiveServer, **more: str) -> httpx.Response:
        headers = cookie("sessions:write", **more)
        return httpx.post(f"{server.url}/sessions", json={}, headers=headers)

    def test_from_our_own_pages(self, server: LiveServer) -> None:
        assert self.create(server, **{"Sec-Fetch-Site": "same-origin"}).status_code == 201
        assert self.create(server, Origin=server.url).status_code == 201

    @pytest.mark.parametrize(
        "more",
        [
            {},
            {"Origin": "https://evil.test"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
        ],
    )
    def test_from_anywhere_else(
        self, server: LiveServer, more: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "licet")
        answer = self.create(server, **more)
        assert answer.status_code == 403
        assert "www-authenticate" not in answer.headers
        assert "Origin or Sec-Fetch-Site" in answer.json()["detail"]
        assert caplog.text.count("denied 403 POST '/sessions'") == 1

    def test_a_header_needs_no_proof(self, server: LiveServer) -> None:
        headers = {**WORLD.bearer(OWNER, "sessions:write"), "Origin": "https://elsewhere.test"}
        answer = httpx.post(f"{server.url}/sessions", json={}, headers=headers)
        assert answer.status_code == 201


def test_one_request_brings_one_token(server: LiveServer) -> None:
    both = {**cookie("agents:read"), **WORLD.bearer(OWNER, "agents:read")}
    twice = {"Cookie": f"access_token={token('agents:read')}; access_token={token('agents:read')}"}
    for headers in (both, twice):
        answer = httpx.get(f"{server.url}/agents", headers=headers)
        assert answer.status_code == 401
        assert "token" in answer.json()["detail"]


class TestWebSockets:
    def hello(self, server: LiveServer, headers: dict[str, str]) -> str:
        address = f"ws://{server.host}:{server.port}/live"
        with ws.connect(address, additional_headers=headers) as socket:
            return str(socket.recv(timeout=20))

    def test_from_our_own_pages(self, server: LiveServer) -> None:
        assert self.hello(server, cookie(Origin=server.url)) == "hello"

    @pytest.mark.parametrize("more", [{}, {"Origin": "https://evil.test"}, {"Origin": "null"}])
    def test_from_anywhere_else(self, server: LiveServer, more: dict[str, str]) -> None:
        with pytest.raises(InvalidStatus) as refused:
            self.hello(server, cookie(**more))
        assert refused.value.response.status_code == 403


def test_names_of_ones_own() -> None:
    with served(
        token_source=TokenSource.BOTH, cookie_name="sid", token_header_key="X-Token"
    ) as live:
        url, good = f"{live.url}/agents", token("agents:read")
        for headers, status in (
            ({"X-Token": good}, 200),
            ({"X-Token": f"Bearer {good}"}, 200),
            ({"X-Token": f"Basic {good}"}, 401),
            ({"Authorization": f"Bearer {good}"}, 401),
            ({"Cookie": f"sid={good}"}, 200),
            ({"Cookie": f"access_token={good}"}, 401),
        ):
            assert httpx.get(url, headers=headers).status_code == status, headers
