"""What a token has opened, when the token expires: it goes on, or in the strict mode ends."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import httpx
import pytest
import websockets.sync.client as ws
from fastapi import FastAPI, WebSocket
from websockets.exceptions import ConnectionClosed

from licet.testing import Say, ScriptedModel
from tests.support.live import DEADLINE_SECONDS, LiveServer, serve
from tests.support.world import OWNER, World

Mode = Literal["snapshot", "token"]
LIVES_SECONDS = 4


class Gate:
    """Holds the model in the midst of its answer until a test opens it."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    async def wait(self) -> object:
        return await asyncio.to_thread(self.opened.wait, DEADLINE_SECONDS)


def mine() -> FastAPI:
    app = FastAPI()

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            await websocket.send_text(await websocket.receive_text())

    return app


class Served:
    """A server, and a client whose token does not live long."""

    def __init__(self, mode: Mode) -> None:
        self.gate = Gate()
        self.world = World(model=ScriptedModel([Say("one two", hold=self.gate, hold_after=1)]))
        config: dict[str, Any] = {
            "run_authority": mode,
            "leeway_seconds": 0,
            "scope_mappings": {"WEBSOCKET /echo": []},
        }
        self.app = self.world.agent_os(config=config, base_app=mine()).get_app()
        self.live: LiveServer
        self.headers: dict[str, str] = {}

    def renew(self) -> None:
        """Log in again."""
        self.headers = self.world.bearer(
            OWNER, "agents:run", "agents:read", expires_in_seconds=LIVES_SECONDS
        )

    def wait_until_expired(self) -> None:
        """Until the token opens nothing new."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (answer := self.ask()).status_code == 200:
            assert time.monotonic() < deadline, "the token does not expire"
        assert (answer.status_code, "expired" in answer.text) == (401, True)

    def ask(self) -> httpx.Response:
        """A request of its own."""
        return httpx.get(f"{self.live.url}/agents", headers=self.headers)

    def stored_run(self, run_id: str) -> dict[str, Any]:
        """The run as the administrator finds it."""
        where = {"session_id": "s1", "user_id": OWNER}
        url = f"{self.live.url}/agents/alpha/runs/{run_id}"
        found: dict[str, Any] = httpx.get(url, params=where, headers=self.world.admin()).json()
        return found


@contextmanager
def serving(mode: Mode) -> Iterator[Served]:
    made = Served(mode)
    with serve(made.app) as made.live:
        made.renew()
        try:
            yield made
        finally:
            made.gate.opened.set()


@contextmanager
def streaming(served: Served) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of a run that is held after its first word."""
    url = f"{served.live.url}/agents/alpha/runs"
    form = {"message": "hi", "session_id": "s1"}
    with httpx.stream("POST", url, data=form, headers=served.headers, timeout=30) as answer:
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        events = (json.loads(line.removeprefix("data: ")) for line in lines)
        assert any(event["event"] == "RunContent" for event in events)
        yield events


def test_a_stream_goes_on_after_its_token_has_expired() -> None:
    with serving("snapshot") as served, streaming(served) as events:
        served.wait_until_expired()
        # Longer than the strict mode takes to look, and it is still open.
        served.renew()
        served.wait_until_expired()
        served.gate.opened.set()
        last = list(events)[-1]
        assert (last["event"], last["content"]) == ("RunCompleted", "one two")
        assert served.stored_run(last["run_id"])["status"] == "COMPLETED"


def test_a_stream_ends_with_its_token_in_the_strict_mode() -> None:
    with serving("token") as served, streaming(served) as events:
        # The gate stays closed: it is the token that ends it.
        last = list(events)[-1]
        assert (last["event"], last["reason"]) == ("RunCancelled", "the token has expired")
        served.wait_until_expired()
        stored = served.stored_run(last["run_id"])
        assert (stored["status"], stored["cancellation_reason"]) == (
            "CANCELLED",
            "the token has expired",
        )


def test_a_websocket_stays_open_after_its_token_has_expired() -> None:
    with serving("snapshot") as served:
        address = f"ws://{served.live.host}:{served.live.port}/echo"
        with ws.connect(address, additional_headers=served.headers) as socket:
            served.wait_until_expired()
            served.renew()
            served.wait_until_expired()
            socket.send("still here")
            assert socket.recv(timeout=DEADLINE_SECONDS) == "still here"


def test_a_websocket_is_closed_with_its_token_in_the_strict_mode() -> None:
    with serving("token") as served:
        address = f"ws://{served.live.host}:{served.live.port}/echo"
        with ws.connect(address, additional_headers=served.headers) as socket:
            socket.send("here")
            assert socket.recv(timeout=DEADLINE_SECONDS) == "here"
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=DEADLINE_SECONDS)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "the token has expired")
