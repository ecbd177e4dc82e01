"""Event loops, proxies, redirects and broken servers, with our own transport."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from licet.errors import (
    ConfigurationError,
    ModelProtocolError,
    ModelUnavailableError,
)
from licet.models.openai import OpenAIChat
from licet.models.openai.aiohttp_transport import AiohttpTransport, _environment_proxy
from licet.testing.openai_server import OpenAIServer
from tests.models.openai.parts import ask, chat, raw_server, unheard


@contextmanager
def _server_in_a_thread() -> Iterator[OpenAIServer]:
    server, ready = OpenAIServer(), threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        async with server:
            loops.append((asyncio.get_running_loop(), asyncio.Event()))
            ready.set()
            await loops[0][1].wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield server
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def test_one_model_works_in_one_event_loop_after_another_and_leaves_nothing_open() -> None:
    with _server_in_a_thread() as server:
        model = chat(server)

        async def run() -> str:
            return (await model.respond(ask(), on_text=unheard)).text

        assert [asyncio.run(run()) for _ in range(3)] == ["Scripted answer."] * 3
        assert server.stats().connections == 3
        transport = model._exchange.transport
        assert isinstance(transport, AiohttpTransport)
        assert not transport._sessions


async def test_a_forgotten_model_closes_its_connections() -> None:
    async with OpenAIServer() as server:
        await chat(server).respond(ask())
        gc.collect()
        await _until_closed(server)


def test_one_model_works_in_several_threads_at_a_time() -> None:
    with _server_in_a_thread() as server:
        model = chat(server)

        async def run() -> str:
            answers = await asyncio.gather(*(model.respond(ask()) for _ in range(5)))
            return answers[0].text

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(asyncio.run, run()) for _ in range(8)]
            assert {future.result() for future in futures} == {"Scripted answer."}


async def test_a_model_can_be_used_again_after_it_was_closed() -> None:
    async with OpenAIServer() as server:
        model = chat(server)
        await model.aclose()
        await model.respond(ask())
        await asyncio.gather(model.aclose(), model.aclose())
        await _until_closed(server)

        assert (await model.respond(ask())).text == "Scripted answer."
        assert server.stats().connections == 2


async def _until_closed(server: OpenAIServer) -> None:
    async with asyncio.timeout(10):
        while server.stats().open_connections:  # noqa: ASYNC110 - another party's state
            await asyncio.sleep(0.005)


async def test_redirects_are_not_followed_and_cookies_not_kept() -> None:
    asked: list[tuple[str, str | None]] = []

    async def redirect(request: web.BaseRequest) -> web.Response:
        asked.append((request.path, request.headers.get("Cookie")))
        headers = {"Location": "/elsewhere", "Set-Cookie": "a=b"}
        return web.Response(status=307, headers=headers)

    async with raw_server(redirect) as url:
        model = OpenAIChat(base_url=url)
        for _ in range(2):
            with pytest.raises(ModelProtocolError, match="base_url"):
                await model.respond(ask())

    assert asked == [("/v1/chat/completions", None)] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="others answer for a full listen queue")
async def test_a_server_that_accepts_nobody_is_given_up_in_time() -> None:
    with ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        model = OpenAIChat(base_url=url, connect_timeout_seconds=0.1, max_retries=0)

        with pytest.raises(ModelUnavailableError, match="connected to in time"):
            await model.respond(ask())


async def test_a_certificate_that_is_not_trusted_is_refused_and_not_retried(
    tmp_path: Path,
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(_self_signed(tmp_path))

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response()

    async with raw_server(answer, tls) as url:
        with pytest.raises(ModelUnavailableError, match="not trusted") as caught:
            await OpenAIChat(base_url=url).respond(ask())

    assert not caught.value.retryable


def _self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


async def test_a_host_name_that_cannot_exist_is_a_typed_error() -> None:
    model = OpenAIChat(base_url=f"http://{'a' * 70}.example/v1", max_retries=0)

    with pytest.raises(ModelUnavailableError):
        await model.respond(ask())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_session_of_a_loop_that_just_stopped_is_not_kept() -> None:
    def run_twice(model: OpenAIChat) -> None:
        for _ in range(2):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(model.respond(ask()))
            loop.close()
        transport = model._exchange.transport
        assert isinstance(transport, AiohttpTransport)
        assert list(transport._sessions) == [loop]

    with _server_in_a_thread() as server:
        run_twice(chat(server))
        gc.collect()  # what such a loop leaves open warns here, not in another test


@pytest.mark.parametrize(
    ("host", "proxy"),
    [
        ("api.example.org", "http://proxy:3128"),
        ("inside.example.net", None),
        ("localhost", None),
        ("127.0.0.1", None),
        ("::1", None),
    ],
)
def test_proxies_of_the_environment_are_used_but_never_for_loopback(
    monkeypatch: pytest.MonkeyPatch, host: str, proxy: str | None
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "example.net")
    _environment_proxy.cache_clear()

    assert _environment_proxy("https", host, 443) == proxy
    _environment_proxy.cache_clear()


def test_a_proxy_that_is_no_http_proxy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://proxy:1080")
    _environment_proxy.cache_clear()

    with pytest.raises(ConfigurationError, match="no http proxy"):
        _environment_proxy("https", "api.example.org", 443)
