"""Without authorization the server answers this machine, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from starlette.testclient import TestClient

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS
from licet.testing import Say, ScriptedModel
from tests.support.live import LiveServer, serve, status_of

ROUTES = ["/", "/health", "/agents", "/sessions", "/config", "/nowhere"]


def open_os(**given: object) -> AgentOS:
    model = ScriptedModel([Say("Hello")], when_exhausted="repeat_last")
    return AgentOS(
        agents=[Agent(id="alpha", model=model)],
        db=InMemoryDb(),
        **given,  # type: ignore[arg-type]  # named settings of the tests below
    )


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with serve(open_os().get_app()) as live:
        yield live


def raw(server: LiveServer, path: str, *headers: str) -> int:
    request = "\r\n".join([f"GET {path} HTTP/1.1", *headers, "Connection: close", "", ""])
    return status_of(server.raw(request.encode("latin-1")))


def test_this_machine_is_answered(server: LiveServer) -> None:
    for path in ROUTES[:-1]:
        assert httpx.get(server.url + path).status_code == 200
        assert httpx.get(f"http://localhost:{server.port}{path}").status_code == 200
    answer = httpx.post(f"{server.url}/agents/alpha/runs", data={"message": "x", "stream": "no"})
    assert answer.json()["content"] == "Hello"


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "0.0.0.0",  # noqa: S104 - a Host header, nothing is bound
        "[::2]",
        "",
        "[",
    ],
)
def test_a_rebound_host_name_is_refused(server: LiveServer, path: str, host: str) -> None:
    assert raw(server, path, f"Host: {host}") in {400, 403}


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:7777", "127.0.0.1:1", "127.8.8.8", "[::1]:7"]
)
def test_names_of_this_machine_are_taken(server: LiveServer, host: str) -> None:
    assert raw(server, "/health", f"Host: {host}") == 200


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-For: 127.0.0.1",
        "x-forwarded-host: localhost",
        "Forwarded: for=127.0.0.1",
        "Via: 1.1 proxy",
        "X-Real-IP: 127.0.0.1",
        "CF-Connecting-IP: 127.0.0.1",
    ],
)
def test_what_came_through_a_proxy_is_refused(server: LiveServer, path: str, header: str) -> None:
    assert raw(server, path, "Host: localhost", header) == 403


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "file://", "http://["]
)
def test_pages_of_other_origins_are_refused(server: LiveServer, origin: str) -> None:
    assert raw(server, "/agents", "Host: localhost", f"Origin: {origin}") == 403


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "same-origin, none", "Cross-Site"])
def test_what_the_browser_says_comes_from_elsewhere_is_refused(
    server: LiveServer, path: str, site: str
) -> None:
    own = f"localhost:{server.port}"
    said = (f"Host: {own}", f"Sec-Fetch-Site: {site}")
    assert raw(server, path, *said) == 403
    assert raw(server, path, *said, f"Origin: http://{own}") == 403
    assert raw(server, path, *said, "Sec-Fetch-Site: same-origin") == 403


def test_a_page_of_the_server_itself_is_answered(server: LiveServer) -> None:
    own = f"localhost:{server.port}"
    assert raw(server, "/agents", f"Host: {own}", f"Origin: http://{own}") == 200
    for site in ("same-origin", "none"):
        assert raw(server, "/agents", f"Host: {own}", f"Sec-Fetch-Site: {site}") == 200


def test_pages_of_named_origins_are_answered() -> None:
    chat = "http://localhost:3000"
    with serve(open_os(cors_allowed_origins=[chat]).get_app()) as server:
        answer = httpx.get(f"{server.url}/agents", headers={"Origin": chat})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == chat
        for site in ("same-site", "cross-site"):
            said = {"Origin": chat, "Sec-Fetch-Site": site}
            assert httpx.get(f"{server.url}/agents", headers=said).status_code == 200
            del said["Origin"]
            assert httpx.get(f"{server.url}/agents", headers=said).status_code == 403
        preflight = httpx.options(
            f"{server.url}/agents/alpha/runs",
            headers={
                "Origin": chat,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization",
            },
        )
        assert preflight.status_code == 200


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "192.168.0.5", "::2", "::ffff:10.0.0.1", "unknown", "8.8.8.8"]
)
def test_other_addresses_are_refused(address: str) -> None:
    client = TestClient(open_os().get_app(), client=(address, 50000), base_url="http://localhost")
    for path in ROUTES:
        answer = client.get(path)
        assert answer.status_code == 403
        assert "loopback clients only" in answer.json()["detail"]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_all_loopback_addresses_are_answered(address: str) -> None:
    client = TestClient(open_os().get_app(), client=(address, 50000), base_url="http://localhost")
    assert client.get("/agents").status_code == 200


def test_it_is_said_loudly(caplog: pytest.LogCaptureFixture) -> None:
    open_os().get_app()
    assert "AUTHORIZATION IS OFF" in caplog.text


def test_rows_of_others_are_not_reached_without_authorization() -> None:
    from tests.support.world import SESSION_ID, World

    world = World()
    world.seed()
    open_app = AgentOS(agents=[Agent(id="alpha", model=world.model)], db=world.db).get_app()
    client = TestClient(open_app, client=("127.0.0.1", 5), base_url="http://localhost")
    assert client.get(f"/sessions/{SESSION_ID}").status_code == 404
    assert client.get("/sessions").json()["data"] == []
