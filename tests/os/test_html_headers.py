"""What browsers are told of pages, and of all other answers."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from licet.os.middleware.html_headers import HtmlHeadersMiddleware
from tests.support.live import LiveServer, serve
from tests.support.world import World

PAGE = {
    "content-security-policy": "base-uri 'self'; frame-ancestors 'none'; object-src 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
NOT_A_PAGE = {"x-content-type-options": "nosniff"}
Headers = list[tuple[bytes, bytes]]


async def answered(*messages: Message, kind: str = "http") -> list[Message]:
    """What comes out where an app sends these."""
    sent: list[Message] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async def receive() -> Message:
        raise AssertionError("nothing is to be read")

    async def send(message: Message) -> None:
        sent.append(message)

    await HtmlHeadersMiddleware(app)({"type": kind}, receive, send)
    return sent


async def added_to(headers: Headers) -> dict[str, str]:
    """What is added to an answer with these headers."""
    (start,) = await answered({"type": "http.response.start", "status": 200, "headers": headers})
    assert start["headers"][: len(headers)] == headers
    return {name.decode(): value.decode() for name, value in start["headers"][len(headers) :]}


@pytest.mark.parametrize("name", [b"content-type", b"Content-Type"])
@pytest.mark.parametrize(
    "kind", [b"text/html", b"text/html; charset=utf-8", b"Text/HTML", b"application/xhtml+xml"]
)
async def test_a_page_gets_them_all(name: bytes, kind: bytes) -> None:
    assert await added_to([(b"a", b"1"), (name, kind)]) == PAGE


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-type", b"application/json")],
        [(b"content-type", b"text/event-stream; charset=utf-8")],
        [(b"content-type", b"text/plain")],
        [(b"x-kind", b"text/html")],
    ],
)
async def test_anything_else_is_what_it_says(headers: Headers) -> None:
    assert await added_to(headers) == NOT_A_PAGE


@pytest.mark.parametrize("name", [*PAGE, "X-Frame-Options"])
async def test_what_the_route_says_stands(name: str) -> None:
    headers = [(b"content-type", b"text/html"), (name.encode(), b"the route's own")]
    expected = {each: value for each, value in PAGE.items() if each != name.lower()}
    assert await added_to(headers) == expected


async def test_a_start_without_headers_gets_one() -> None:
    (start,) = await answered({"type": "http.response.start", "status": 204})
    assert start["headers"] == [(b"x-content-type-options", b"nosniff")]


async def test_bodies_and_websockets_pass_as_they_are() -> None:
    body = {"type": "http.response.body", "body": b"x"}
    assert (await answered(body))[0] is body
    accept = {"type": "websocket.accept", "headers": [(b"content-type", b"text/html")]}
    assert await answered(dict(accept), kind="websocket") == [accept]


def mine() -> FastAPI:
    """Pages of one's own."""
    app = FastAPI(debug=True)

    @app.get("/page")
    async def page() -> Response:
        return HTMLResponse("<p>hello")

    @app.get("/framed")
    async def framed() -> Response:
        own = {
            "X-Frame-Options": "SAMEORIGIN",
            "Content-Security-Policy": "frame-ancestors 'self'",
        }
        return HTMLResponse("<p>hello", headers=own)

    @app.get("/text")
    async def text() -> Response:
        return PlainTextResponse("<p>hello")

    @app.get("/breaks")
    async def breaks() -> Response:
        raise ZeroDivisionError

    return app


class TestServed:
    @pytest.fixture(scope="module")
    @staticmethod
    def server() -> Iterator[LiveServer]:
        public = {"public_paths": ["/page", "/framed", "/text", "/breaks"]}
        with serve(World().agent_os(base_app=mine(), config=public).get_app()) as live:
            yield live

    @staticmethod
    def security(server: LiveServer, path: str, **headers: str) -> dict[str, str]:
        """The security headers of an answer."""
        answer = httpx.get(server.url + path, headers=headers)
        for name in PAGE:
            assert len(answer.headers.get_list(name)) <= 1
        return {name: answer.headers[name] for name in PAGE if name in answer.headers}

    def test_pages_of_ones_own(self, server: LiveServer) -> None:
        assert self.security(server, "/page") == PAGE
        assert self.security(server, "/text") == NOT_A_PAGE

    def test_a_page_that_may_be_framed(self, server: LiveServer) -> None:
        assert self.security(server, "/framed") == {
            **PAGE,
            "x-frame-options": "SAMEORIGIN",
            "content-security-policy": "frame-ancestors 'self'",
        }

    def test_the_page_that_shows_an_error_while_developing(self, server: LiveServer) -> None:
        assert self.security(server, "/breaks", Accept="text/html") == PAGE

    def test_answers_and_refusals_of_the_server(self, server: LiveServer) -> None:
        for path in ("/health", "/openapi.json", "/agents", "/nowhere"):
            assert self.security(server, path) == NOT_A_PAGE

    def test_documentation_pages_say_more(self, server: LiveServer) -> None:
        for path in ("/docs", "/docs/oauth2-redirect", "/redoc", "/docs/"):
            found = self.security(server, path)
            assert found.pop("content-security-policy").startswith("default-src 'none'; ")
            assert found == {
                "referrer-policy": "no-referrer",
                "x-content-type-options": "nosniff",
                "x-frame-options": "DENY",
            }
