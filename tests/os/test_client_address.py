"""Whose address counts behind proxies: nobody can choose their own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
import websockets.sync.client as ws
from fastapi import FastAPI, Request, WebSocket
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from licet.db.in_memory import InMemoryDb
from licet.errors import ConfigurationError
from licet.os import AgentOS, Settings, TokenSource
from licet.os.middleware.client_address import ClientAddressMiddleware, proxy_networks
from tests.support.live import LiveServer, serve
from tests.support.world import World

PROXIES = ("10.0.0.0/8", "192.0.2.7", "fd00::/8")
PROXY = "10.1.2.3"


async def passed_on(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """An app that looks at nothing."""


async def nothing(*_message: Message) -> Any:
    raise AssertionError("nothing is read or sent")


async def seen(
    *headers: tuple[str, str],
    peer: str | None = PROXY,
    kind: str = "http",
    proxies: Sequence[str] = PROXIES,
) -> tuple[str | None, str]:
    """The client's address and the scheme that the app sees of such a request."""
    scope: Scope = {
        "type": kind,
        "client": None if peer is None else (peer, 50_000),
        "scheme": "http" if kind == "http" else "ws",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    await ClientAddressMiddleware(passed_on, proxies)(scope, nothing, nothing)
    return (None if scope["client"] is None else scope["client"][0]), scope["scheme"]


async def client(*forwarded: str, peer: str = PROXY) -> str | None:
    """The client's address, where ``X-Forwarded-For`` is this."""
    return (await seen(*(("x-forwarded-for", each) for each in forwarded), peer=peer))[0]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "peer", ["203.0.113.9", "192.0.2.8", "9.255.255.255", "2001:db8::1", "testclient", "", None]
)
async def test_nobody_else_is_believed(kind: str, peer: str | None) -> None:
    said = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")]
    expected = (peer, "http" if kind == "http" else "ws")
    assert await seen(*said, peer=peer, kind=kind) == expected


@pytest.mark.parametrize(
    "peer", ["10.0.0.0", "10.255.255.255", "192.0.2.7", "fd00::1", "::ffff:10.1.2.3"]
)
async def test_a_trusted_proxy_is(peer: str) -> None:
    assert await client("198.51.100.1", peer=peer) == "198.51.100.1"


class TestTheRightMostThatIsNoProxyCounts:
    @pytest.mark.parametrize(
        "forwarded",
        [
            ["198.51.100.1"],
            ["203.0.113.66, 198.51.100.1"],
            ["10.9.9.9, 203.0.113.66,198.51.100.1"],
            ["198.51.100.1, 10.4.5.6"],
            ["198.51.100.1,\t10.4.5.6 ,  192.0.2.7, fd00::5"],
            ["203.0.113.66", "198.51.100.1"],
            ["203.0.113.66, 198.51.100.1", "10.4.5.6"],
            ["nonsense, 198.51.100.1"],
            ["198.51.100.1:50000"],
            ["::ffff:198.51.100.1"],
            ["[::ffff:198.51.100.1]:443"],
            ["198.51.100.1, ::ffff:10.0.0.1"],
        ],
    )
    async def test_whatever_stands_left_of_it(self, forwarded: list[str]) -> None:
        assert await client(*forwarded) == "198.51.100.1"

    @pytest.mark.parametrize(
        "forwarded",
        [
            "2001:db8::1",
            "2001:DB8:0:0:0:0:0:1",
            "[2001:db8::1]",
            "[2001:db8::1]:443",
            "2001:db8::1, [fd00::5]:80",
        ],
    )
    async def test_also_in_ipv6(self, forwarded: str) -> None:
        assert await client(forwarded) == "2001:db8::1"

    async def test_if_all_are_proxies_the_first_of_them(self) -> None:
        assert await client("10.0.0.1, 10.0.0.2") == "10.0.0.1"

    async def test_without_a_word_the_proxy_itself(self) -> None:
        assert await client() == PROXY


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "unknown",
        "_hidden",
        "198.51.100",
        "198.51.100.1.1",
        "198.51.100.01",
        "198.51.100.256",
        "198.51.100.1:",
        "198.51.100.1:http",
        "198.51.100.1/32",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]x",
        "[]",
        "[]:80",
        "[unknown]",
        "fe80::1%eth0",
        "[fe80::1%25eth0]:80",
        "3325256705",
        "0x7f.1",
        "\xb9.1.1.1",
        "1" * 5000,
    ],
)
async def test_where_something_is_no_address_the_last_good_one_stays(nonsense: str) -> None:
    assert await client(f"198.51.100.1, {nonsense}") == PROXY
    assert await client(f"198.51.100.1, {nonsense}, 10.4.5.6") == "10.4.5.6"


async def test_the_way_is_followed_for_twenty_hops() -> None:
    hops = [f"10.0.0.{number}" for number in range(40)]
    assert await client(", ".join(hops)) == "10.0.0.20"
    assert await client(", ".join(hops[:20])) == "10.0.0.0"
    assert await client(", ".join(["198.51.100.1", *hops[:19]])) == "198.51.100.1"
    assert await client(", ".join(["10.0.0.1"] * 10_000)) == "10.0.0.1"


async def test_what_is_remembered_of_clients_is_bounded() -> None:
    middleware = ClientAddressMiddleware(passed_on, PROXIES)
    for number in range(3000):
        for said in (str(ipaddress.IPv4Address(number)), "x" * 65 + str(number)):
            headers = [(b"x-forwarded-for", said.encode())]
            scope: Scope = {"type": "http", "client": (PROXY, 1), "headers": headers}
            await middleware(scope, nothing, nothing)
    known = middleware._hop.cache_info()
    assert known.currsize == known.maxsize == 1024
    assert known.misses == 3001


ADDRESSES = st.ip_addresses().map(str)
TRUSTED = st.ip_addresses(network="10.0.0.0/8").map(str)


@given(
    forged=st.lists(ADDRESSES | st.text("0123456789abcdef.:[]%, x", max_size=30), max_size=5),
    real=ADDRESSES,
    proxies=st.lists(TRUSTED, max_size=5),
)
async def test_what_a_client_writes_never_counts(
    forged: list[str], real: str, proxies: list[str]
) -> None:
    honest = await client(", ".join([real, *proxies]))
    address = ipaddress.ip_address(real)
    if any(address in network for network in proxy_networks(PROXIES)):
        return
    assert await client(", ".join([*forged, real, *proxies])) == honest
    assert honest == str(getattr(address, "ipv4_mapped", None) or address)


class TestScheme:
    @pytest.mark.parametrize(
        ("said", "http", "websocket"),
        [("https", "https", "wss"), ("http", "http", "ws"), (" HTTPS\t", "https", "wss")],
    )
    async def test_it_is_the_one_before_the_proxy(
        self, said: str, http: str, websocket: str
    ) -> None:
        header = ("x-forwarded-proto", said)
        assert await seen(header) == (PROXY, http)
        assert await seen(header, kind="websocket") == (PROXY, websocket)

    @pytest.mark.parametrize(
        "said", [[""], ["wss"], ["ftp"], ["https,http"], ["https", "https"], ["http\xa0"]]
    )
    async def test_anything_else_changes_nothing(self, said: list[str]) -> None:
        headers = [("x-forwarded-proto", each) for each in said]
        assert (await seen(*headers))[1] == "http"
        assert (await seen(*headers, kind="websocket"))[1] == "ws"


async def test_the_life_of_the_app_has_no_client() -> None:
    scope: Scope = {"type": "lifespan"}
    await ClientAddressMiddleware(passed_on, PROXIES)(scope, nothing, nothing)
    assert scope == {"type": "lifespan"}


class TestSettings:
    @pytest.mark.parametrize(
        "proxy",
        ["10.0.0.0/8", "10.1.2.3", "10.1.2.3/32", "::1", "fd00::/8", "0.0.0.0/1"],
    )
    def test_addresses_and_networks_are_taken(self, proxy: str) -> None:
        assert Settings(trusted_proxies=[proxy]).trusted_proxies == [proxy]

    @pytest.mark.parametrize(
        "proxy",
        [
            *("", "*", "proxy.internal", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "10.0.0.1:80"),
            *("[::1]", "fe80::1%eth0/64", "0.0.0.0/0", "::/0", "::ffff:10.0.0.0/104"),
            *("unix:", 5, None),
        ],
    )
    def test_others_are_refused_and_named(self, proxy: Any) -> None:
        with pytest.raises(ConfigurationError, match="trusted_proxies") as refused:
            Settings(trusted_proxies=["127.0.0.1", proxy])
        assert repr(proxy) in str(refused.value)

    def test_one_text_is_no_list(self) -> None:
        with pytest.raises(ConfigurationError, match="a list"):
            Settings(trusted_proxies="10.0.0.0/8")

    def test_none_are_trusted_by_default(self) -> None:
        assert Settings().trusted_proxies == ()

    def test_the_open_server_refuses_to_start(self) -> None:
        settings = Settings(trusted_proxies=["127.0.0.1"])
        agent_os = AgentOS(db=InMemoryDb(), settings=settings)
        with pytest.raises(ConfigurationError, match="authorization=True"):
            agent_os.get_app()


WORLD = World()


def mirror() -> FastAPI:
    """Tells its clients who they are."""
    app = FastAPI()

    def told(scope: Scope) -> dict[str, Any]:
        return {"client": scope["client"][0], "scheme": scope["scheme"]}

    @app.get("/mirror")
    async def mirror(request: Request) -> dict[str, Any]:
        return told(request.scope)

    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(told(websocket.scope))
        await websocket.close()

    return app


def mirrored(*proxies: str, **config: Any) -> Any:
    config = {"public_paths": ["/mirror"], "scope_mappings": {"WEBSOCKET /live": []}, **config}
    settings = Settings(trusted_proxies=proxies)
    return serve(WORLD.agent_os(config=config, base_app=mirror(), settings=settings).get_app())


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with mirrored("127.0.0.0/8") as live:
        yield live


BY_PROXY = {"X-Forwarded-For": "203.0.113.66, 198.51.100.1", "X-Forwarded-Proto": "https"}


class TestServed:
    def test_requests_and_websockets_have_their_clients_address(self, server: LiveServer) -> None:
        answer = httpx.get(f"{server.url}/mirror", headers=BY_PROXY)
        assert answer.json() == {"client": "198.51.100.1", "scheme": "https"}
        headers = {**BY_PROXY, **WORLD.bearer("olga")}
        address = f"ws://{server.host}:{server.port}/live"
        with ws.connect(address, additional_headers=headers) as link:
            assert link.recv(timeout=20) == '{"client":"198.51.100.1","scheme":"wss"}'

    def test_the_headers_mean_nothing_where_no_proxy_is_trusted(self) -> None:
        for proxies in ((), ("192.0.2.7",)):
            with mirrored(*proxies) as live:
                answer = httpx.get(f"{live.url}/mirror", headers=BY_PROXY)
                assert answer.json() == {"client": "127.0.0.1", "scheme": "http"}

    def test_who_guesses_waits_alone(self, server: LiveServer) -> None:
        def guess(client: str) -> int:
            headers = {
                "Authorization": f"Bearer licet_sa_{'x' * 43}",
                "X-Forwarded-For": f"198.51.100.99, {client}",
            }
            return httpx.get(f"{server.url}/agents", headers=headers).status_code

        assert {guess("203.0.113.1") for _ in range(20)} == {401}
        assert guess("203.0.113.1") == 429
        assert guess("203.0.113.2") == 401

    def test_refusals_are_logged_with_it(
        self, server: LiveServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "licet")
        httpx.get(f"{server.url}/agents", headers=BY_PROXY)
        assert "from 198.51.100.1: " in caplog.text

    def test_cookies_count_from_the_pages_that_the_browser_sees(self) -> None:
        token = WORLD.bearer("olga", "sessions:write")["Authorization"].removeprefix("Bearer ")
        with mirrored("127.0.0.1", token_source=TokenSource.BOTH) as live:
            for origin, status in (("https", 201), ("http", 403)):
                headers = {
                    **BY_PROXY,
                    "Cookie": f"access_token={token}",
                    "Origin": f"{origin}://{live.host}:{live.port}",
                }
                answer = httpx.post(f"{live.url}/sessions", json={}, headers=headers)
                assert answer.status_code == status
