"""Whoever was revoked cannot hold on to a connection by the way they use it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import httpx
import pytest
import websockets.sync.client as ws
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send
from websockets.exceptions import InvalidStatus

from licet.os import AgentOS
from licet.testing import Say, ScriptedModel
from tests.support.live import DEADLINE_SECONDS, LiveServer, serve
from tests.support.world import World

PIECE = "word " * 10_000
PIECES = 400


class Never:
    """A gate that does not open."""

    async def wait(self) -> None:
        await asyncio.Event().wait()


class Undecided:
    """An app that has heard of a handshake and thinks about it."""

    def __init__(self) -> None:
        self.thinks = False

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        first: Message = await receive()
        assert (scope["type"], first["type"]) == ("websocket", "websocket.connect")
        self.thinks = True
        await asyncio.Event().wait()


UNDECIDED = Undecided()


@pytest.fixture(scope="module")
def world() -> World:
    talking = Say(PIECE * PIECES, pieces=[PIECE] * PIECES, hold=Never(), hold_after=PIECES - 1)
    return World(model=ScriptedModel([talking], when_exhausted="repeat_last"))


@pytest.fixture(scope="module")
def agent_os(world: World) -> AgentOS:
    mine = FastAPI()
    mine.router.add_websocket_route("/undecided", UNDECIDED)  # type: ignore[arg-type]
    return world.agent_os(base_app=mine, config={"scope_mappings": {"WEBSOCKET /undecided": []}})


@pytest.fixture(scope="module")
def server(agent_os: AgentOS) -> Iterator[LiveServer]:
    with serve(agent_os.get_app()) as live:
        yield live


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def revoke(world: World, server: LiveServer, subject: str) -> None:
    answer = httpx.post(
        f"{server.url}/revocations", json={"subject": subject}, headers=world.admin()
    )
    assert answer.status_code == 201, answer.text


def test_a_client_that_does_not_read_its_stream_is_cut_off(
    world: World, agent_os: AgentOS, server: LiveServer
) -> None:
    form = urlencode({"message": "talk", "stream": "true"}).encode()
    token = world.bearer("eve", "agents:run")["Authorization"]
    head = (
        f"POST /agents/alpha/runs HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n"
        f"Authorization: {token}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form)}\r\n\r\n"
    )
    open_requests = agent_os._server.open_requests
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.settimeout(DEADLINE_SECONDS)
        link.connect((server.host, server.port))
        link.sendall(head.encode() + form)
        until(lambda: len(open_requests) == 1)
        until(lambda: len(world.model.requests) == 1)
        revoke(world, server, "eve")
        until(lambda: len(open_requests) == 0)
        received = 0
        while chunk := link.recv(1 << 20):
            received += len(chunk)
    # What was on its way it may have; the rest, and the end of the stream, not.
    assert received < len(PIECE) * PIECES


def test_a_handshake_that_is_not_decided_is_refused(world: World, server: LiveServer) -> None:
    url = f"{server.url.replace('http', 'ws')}/undecided"

    async def revoke_meanwhile() -> None:
        await asyncio.to_thread(until, lambda: UNDECIDED.thinks)
        await asyncio.to_thread(revoke, world, server, "ivo")

    def shake_hands() -> None:
        with ws.connect(url, additional_headers=world.bearer("ivo"), open_timeout=20):
            raise AssertionError("it was let in")

    async def both() -> None:
        await asyncio.gather(asyncio.to_thread(shake_hands), revoke_meanwhile())

    with pytest.raises(InvalidStatus) as refused:
        asyncio.run(both())
    assert refused.value.response.status_code == 401
