"""The documentation pages of FastAPI, each with a content security policy that fits (CSP Level 3).

The pages load their programs from elsewhere, and change with FastAPI. So the policy is read from
the page as it is served: what it names may be loaded, from that very address; its own scripts may
run, known by their digest; and nothing that gets into the page later may, the text of a description
for one.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from html.parser import HTMLParser
from urllib.parse import quote, urlsplit

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, request_response

_Endpoint = Callable[[Request], Awaitable[Response]]

# What the programs load or make themselves, once they run.
_SWAGGER_UI = {
    "connect-src": ("'self'",),
    "img-src": ("'self'", "data:", "blob:"),
}
_REDOC = {
    "connect-src": ("'self'",),
    "font-src": ("https://fonts.gstatic.com",),
    "img-src": ("'self'", "data:", "https://cdn.redoc.ly/redoc/logo-mini.svg"),
    "style-src": ("'unsafe-inline'",),
    "worker-src": ("blob:",),
}
_NOTHING_ELSE = {
    "default-src": ("'none'",),
    "base-uri": ("'none'",),
    "form-action": ("'none'",),
    "frame-ancestors": ("'none'",),
}


def guard_docs(app: FastAPI) -> None:
    """Let the documentation pages that FastAPI has made for this app carry their policies."""
    for route in app.routes:
        if isinstance(route, Route) and route.endpoint.__module__ == FastAPI.__module__:
            route.app = request_response(_guarded(route.endpoint))


def content_security_policy(page: str) -> str:
    """The policy under which a documentation page works, and nothing else does.

    Args:
        page: its HTML, as it is served.
    """
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return "; ".join(" ".join((name, *sources)) for name, sources in reader.allowed.items())


def _guarded(endpoint: _Endpoint) -> _Endpoint:
    async def page(request: Request) -> Response:
        response = await endpoint(request)
        if isinstance(response, HTMLResponse):
            policy = content_security_policy(bytes(response.body).decode())
            response.headers.setdefault("content-security-policy", policy)
            # Nothing on these pages needs to know where a reader comes from.
            response.headers.setdefault("referrer-policy", "no-referrer")
        return response

    return page


class _Reader(HTMLParser):
    """Reads from a page what it needs: ``allowed`` has the sources of each directive."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed = {name: list(sources) for name, sources in _NOTHING_ELSE.items()}
        self._script: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "script" and "src" in given:
            self._allow("script-src", _source(given["src"]))
        elif tag == "script":
            self._script = []
        elif tag == "link" and given.get("rel") == "stylesheet":
            self._allow("style-src", _source(given.get("href", "")))
        elif tag == "link":
            self._allow("img-src", _source(given.get("href", "")))
        elif tag == "redoc":
            self._allow_all(_REDOC)
        elif given.get("id") == "swagger-ui":
            self._allow_all(_SWAGGER_UI)

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self._script.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "script" and self._script is not None:
            digest = hashlib.sha256("".join(self._script).encode()).digest()
            self._allow("script-src", f"'sha256-{base64.b64encode(digest).decode()}'")
            self._script = None

    def _allow_all(self, sources: Mapping[str, tuple[str, ...]]) -> None:
        for directive, allowed in sources.items():
            for source in allowed:
                self._allow(directive, source)

    def _allow(self, directive: str, source: str) -> None:
        self.allowed.setdefault(directive, []).append(source)


def _source(address: str) -> str:
    """An address as a policy names it: without its query, and with nothing that ends a name."""
    parts = urlsplit(address)
    if not parts.netloc:
        return "'self'"
    return f"{parts.scheme or 'https'}://{parts.netloc}{quote(parts.path, safe='/@:%')}"
