"""What is open for a principal ends when the principal is revoked, as its protocol allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from licet.authn.principal import Principal
from licet.os.open_requests import OpenRequests

OLGA = Principal(issuer_alias="default", issuer=None, subject="olga")
STEN = Principal(issuer_alias="default", issuer=None, subject="sten")
HTTP: Scope = {"type": "http", "method": "GET", "path": "/reports", "headers": []}
SOCKET: Scope = {
    "type": "websocket",
    "path": "/live",
    "headers": [],
    "extensions": {"websocket.http.response": {}},
}
STREAM = [(b"Content-Type", b"text/event-stream; charset=utf-8")]


class Served:
    """Requests that are open, and who has lost what."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()
        self.open = OpenRequests(self._lost)
        self.sent: list[Message] = []

    def _lost(self, principal: Principal | None) -> str | None:
        gone = principal is not None and principal.subject in self.revoked
        return "the token was revoked" if gone else None

    def request(
        self, app: ASGIApp, scope: Scope, principal: Principal = OLGA
    ) -> asyncio.Task[None]:
        async def send(message: Message) -> None:
            self.sent.append(message)

        async def receive() -> Message:
            return {"type": "websocket.connect"}

        return asyncio.create_task(self.open.serve(app, principal, dict(scope), receive, send))


async def until(found: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not found():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.001)


def answering(*messages: Message) -> ASGIApp:
    """An app that sends these and then hangs."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        await asyncio.Event().wait()

    return app


def start(headers: list[tuple[bytes, bytes]] | None = None) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": headers or []}


PIECE: Message = {"type": "http.response.body", "body": b"piece", "more_body": True}
LAST: Message = {"type": "http.response.body", "body": b""}
ACCEPT: Message = {"type": "websocket.accept"}


@pytest.mark.parametrize(
    ("scope", "said", "ending"),
    [
        (HTTP, [], ["http.response.start", "http.response.body"]),
        (HTTP, [start(STREAM), PIECE], ["http.response.body"]),
        (HTTP, [start(), PIECE], []),
        (HTTP, [start(), LAST], []),
        (SOCKET, [], ["websocket.http.response.start", "websocket.http.response.body"]),
        (SOCKET, [ACCEPT], ["websocket.close"]),
        (SOCKET, [ACCEPT, {"type": "websocket.close", "code": 1000}], []),
    ],
    ids=["nothing sent", "stream", "file", "sent all", "handshake", "socket", "closed socket"],
)
async def test_each_kind_of_answer_ends_as_it_can(
    scope: Scope, said: list[Message], ending: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    served = Served()
    task = served.request(answering(*said), scope)
    await until(lambda: len(served.sent) == len(said) and len(served.open) == 1)
    assert served.open.revoked() == []
    served.revoked.add("olga")
    assert served.open.cut(served.open.revoked()) == 1
    await task
    assert [message["type"] for message in served.sent[len(said) :]] == ending
    assert len(served.open) == 0
    assert "the token was revoked" in caplog.text
    for message in served.sent[len(said) :]:
        assert message.get("status", 401) == 401
        assert message.get("code", 1008) == 1008
        assert not message.get("more_body", False)


async def test_others_go_on() -> None:
    served = Served()
    hanging = [served.request(answering(start()), HTTP, who) for who in (OLGA, STEN)]
    await until(lambda: len(served.sent) == 2)
    served.revoked.add("olga")
    found = served.open.revoked()
    assert [served.open.cut(found) for _ in range(2)] == [1, 0]
    await hanging[0]
    assert served.open.cut(found) == 0
    assert len(served.open) == 1
    hanging[1].cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert len(served.open) == 0


async def test_who_was_revoked_between_the_decision_and_the_answer_gets_none() -> None:
    served = Served()
    served.revoked.add("olga")
    await served.request(answering(start()), HTTP)
    assert [message.get("status") for message in served.sent] == [401, None]


async def test_a_server_that_stops_is_no_revocation() -> None:
    served = Served()
    task = served.request(answering(start()), HTTP)
    await until(lambda: served.sent)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_errors_of_the_app_are_its_own() -> None:
    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ZeroDivisionError

    served = Served()
    with pytest.raises(ZeroDivisionError):
        await served.request(broken, HTTP)
    assert len(served.open) == 0


async def test_who_was_taken_back_in_meanwhile_goes_on() -> None:
    served = Served()
    task = served.request(answering(start()), HTTP)
    await until(lambda: served.sent)
    served.revoked.add("olga")
    found = served.open.revoked()
    served.revoked.clear()
    assert served.open.cut(found) == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
