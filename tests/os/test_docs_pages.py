"""The documentation pages load what they name, and nothing else may run on them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import HTMLResponse, Response
from starlette.testclient import TestClient

from licet.os.docs_pages import content_security_policy, guard_docs
from tests.support.live import LiveServer, serve
from tests.support.world import World

SWAGGER_UI = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5"
REDOC = "https://cdn.jsdelivr.net/npm/redoc@2/bundles/redoc.standalone.js"
ICON = "https://fastapi.tiangolo.com/img/favicon.png"


def directives(policy: str) -> dict[str, list[str]]:
    """The sources of each directive of a policy (CSP Level 3 §2.2)."""
    assert "," not in policy, "that would begin another policy"
    parts = [part.split() for part in policy.split(";")]
    assert len({name for name, *_ in parts}) == len(parts), "only the first of a name counts"
    return {name: sources for name, *sources in parts}


def digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with serve(World().agent_os().get_app()) as live:
        yield live


def fetched(server: LiveServer, path: str) -> tuple[str, dict[str, list[str]]]:
    """A page and its policy."""
    answer = httpx.get(server.url + path)
    return answer.text, directives(answer.headers["content-security-policy"])


def inline_scripts(page: str) -> list[str]:
    return re.findall(r"<script>(.*?)</script>", page, re.DOTALL)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/oauth2-redirect"])
class TestEveryPage:
    def test_names_only_what_its_policy_allows(self, server: LiveServer, path: str) -> None:
        page, policy = fetched(server, path)
        named = {
            "script-src": re.findall(r'<script[^>]* src="([^"]*)"', page),
            "style-src": re.findall(r'<link[^>]*rel="stylesheet"[^>]*href="([^"]*)"', page)
            + re.findall(r'<link[^>]*href="([^"]*)"[^>]*rel="stylesheet"', page),
            "img-src": re.findall(r'<link[^>]*icon"[^>]*href="([^"]*)"', page),
        }
        for directive, addresses in named.items():
            for address in addresses:
                assert address.partition("?")[0] in policy[directive]
        assert len(re.findall(r"<(?:script|link)\b", page)) == len(inline_scripts(page)) + sum(
            map(len, named.values())
        )
        for script in inline_scripts(page):
            assert digest(script) in policy["script-src"]

    def test_lets_nothing_else_run(self, server: LiveServer, path: str) -> None:
        page, policy = fetched(server, path)
        assert policy["default-src"] == ["'none'"]
        assert (
            policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == ["'none'"]
        )
        scripts = len(re.findall(r"<script", page))
        assert len(policy["script-src"]) == scripts > 0
        for source in policy["script-src"]:
            assert source.startswith("'sha256-") or source.endswith(".js")
        assert not {"object-src", "frame-src", "script-src-elem"} & set(policy)
        for sources in policy.values():
            assert not {"*", "https:", "http:", "'unsafe-eval'"} & set(sources)


def test_swagger_ui_loads_and_does_this(server: LiveServer) -> None:
    page, policy = fetched(server, "/docs")
    (script,) = inline_scripts(page)
    assert policy == {
        "default-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
        "connect-src": ["'self'"],
        "img-src": [ICON, "'self'", "data:", "blob:"],
        "script-src": [f"{SWAGGER_UI}/swagger-ui-bundle.js", digest(script)],
        "style-src": [f"{SWAGGER_UI}/swagger-ui.css"],
    }


def test_redoc_loads_and_does_this(server: LiveServer) -> None:
    _, policy = fetched(server, "/redoc")
    assert policy == {
        "default-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
        "connect-src": ["'self'"],
        "font-src": ["https://fonts.gstatic.com"],
        "img-src": [ICON, "'self'", "data:", "https://cdn.redoc.ly/redoc/logo-mini.svg"],
        "script-src": [REDOC],
        "style-src": ["https://fonts.googleapis.com/css", "'unsafe-inline'"],
        "worker-src": ["blob:"],
    }


def test_the_policy_fits_the_page_wherever_the_server_is_mounted() -> None:
    app = World().agent_os().get_app()
    answer = TestClient(app, root_path="/below").get("/below/docs")
    assert "/below/openapi.json" in answer.text
    policy = directives(answer.headers["content-security-policy"])
    assert digest(inline_scripts(answer.text)[0]) in policy["script-src"]


def test_pages_of_ones_own_at_that_place_are_left_alone() -> None:
    app = FastAPI(docs_url=None)

    @app.get("/docs")
    async def docs() -> Response:
        return HTMLResponse("<script>1</script>")

    guard_docs(app)
    with serve(app) as live:
        assert "content-security-policy" not in httpx.get(f"{live.url}/docs").headers
        assert "content-security-policy" not in httpx.get(f"{live.url}/openapi.json").headers


@pytest.mark.parametrize(
    ("page", "directive", "source"),
    [
        ('<script src="/static/a.js">', "script-src", "'self'"),
        ('<script src="a.js">', "script-src", "'self'"),
        (
            '<script src="https://a.test/b,c;d e.js?f;g#h">',
            "script-src",
            "https://a.test/b%2Cc%3Bd%20e.js",
        ),
        ('<script src="//a.test:8443/b.js">', "script-src", "https://a.test:8443/b.js"),
        (
            '<link rel="stylesheet" href="https://a.test/b.css">',
            "style-src",
            "https://a.test/b.css",
        ),
        ('<link rel="icon" href="https://a.test/b.png">', "img-src", "https://a.test/b.png"),
        ("<script>a < b && 'ä'\n</script>", "script-src", digest("a < b && 'ä'\n")),
        ("<script></script>", "script-src", digest("")),
    ],
)
def test_addresses_are_named_as_a_policy_names_them(page: str, directive: str, source: str) -> None:
    assert directives(content_security_policy(page))[directive] == [source]
