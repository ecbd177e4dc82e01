"""What is open for a principal ends when the principal is revoked, as its protocol allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from licet.authn.principal import Principal
from licet.os import open_requests as module
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
        # Whether the client reads; None: it does.
        self.reads: asyncio.Event | None = None

    def _lost(self, principal: Principal | None) -> str | None:
        gone = principal is not None and principal.subject in self.revoked
        return "the token was revoked" if gone else None

    def request(
        self,
        app: ASGIApp,
        scope: Scope,
        principal: Principal = OLGA,
        *,
        receive: Receive | None = None,
    ) -> asyncio.Task[None]:
        coming = asyncio.Queue[Message]()
        coming.put_nowait({"type": "websocket.connect"})

        async def send(message: Message) -> None:
            if self.reads is not None:
                await self.reads.wait()
            self.sent.append(message)

        serving = self.open.serve(app, principal, dict(scope), receive or coming.get, send)
        return asyncio.create_task(serving)

    async def until_cut(self, task: asyncio.Task[None]) -> None:
        """Revoke, and tick as the server does, until the request has ended."""
        self.revoked.add("olga")
        deadline = time.monotonic() + 20
        while not task.done():
            assert time.monotonic() < deadline, "it goes on for ever"
            self.open.cut(self.open.revoked())
            await asyncio.sleep(0.001)


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


class Link:
    """What a client sends, message by message."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()

    def bring(self, **message: Any) -> None:
        self.messages.put_nowait(message)

    async def receive(self) -> Message:
        return await self.messages.get()


def brought(kind: str) -> dict[str, Any]:
    if kind == "http":
        return {"type": "http.request", "body": b"piece", "more_body": True}
    return {"type": "websocket.receive", "text": "piece"}


@pytest.mark.parametrize(
    ("scope", "said", "ending"),
    [
        (HTTP, [], ["http.response.start", "http.response.body"]),
        (HTTP, [start()], []),
        (SOCKET, [ACCEPT], ["websocket.close"]),
    ],
    ids=["body", "body of an answer under way", "socket"],
)
async def test_what_comes_after_the_revocation_is_not_brought(
    scope: Scope, said: list[Message], ending: list[str]
) -> None:
    served, link = Served(), Link()
    read: list[Message] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        for message in said:
            await send(message)
        while True:
            read.append(await receive())

    task = served.request(app, scope, receive=link.receive)
    link.bring(**brought(scope["type"]))
    await until(lambda: read)
    served.revoked.add("olga")
    link.bring(**brought(scope["type"]))
    await task
    assert read == [brought(scope["type"])]
    assert [message["type"] for message in served.sent[len(said) :]] == ending
    assert len(served.open) == 0


async def test_a_client_who_leaves_is_told_to_the_app_also_after_the_revocation() -> None:
    served, link = Served(), Link()
    read: list[Message] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        read.append(await receive())

    task = served.request(app, HTTP, receive=link.receive)
    await until(lambda: len(served.open) == 1)
    served.revoked.add("olga")
    link.bring(type="http.disconnect")
    await task
    assert read == [{"type": "http.disconnect"}]


@pytest.mark.parametrize("scope", [HTTP, SOCKET], ids=["http", "websocket"])
async def test_to_a_task_of_the_apps_own_the_client_has_left(scope: Scope) -> None:
    served, link = Served(), Link()
    read: list[Message] = []
    reading: list[asyncio.Task[None]] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        async def reader() -> None:
            read.append(await receive())

        if scope["type"] == "websocket":
            await receive()
        reading.append(asyncio.create_task(reader()))
        await asyncio.Event().wait()

    task = served.request(app, scope, receive=link.receive)
    if scope is SOCKET:
        # It comes once: what refuses the handshake later does not wait for another.
        link.bring(type="websocket.connect")
    await until(lambda: reading)
    served.revoked.add("olga")
    link.bring(**brought(scope["type"]))
    await asyncio.gather(task, *reading)
    assert read == [{"type": f"{scope['type']}.disconnect"}]


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


def gone_on(served: Served) -> list[str]:
    return [message["type"] for message in served.sent]


async def test_an_app_that_swallows_its_cancellation_sends_no_more_and_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In Python 3.11 ``asyncio.wait_for`` does, where it meets a result."""
    monkeypatch.setattr(module, "_CANCEL_AGAIN_SECONDS", 0.05)
    served, swallowed, sent_since = Served(), 0, 0

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal swallowed, sent_since
        await send(start(STREAM))
        while True:
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                if swallowed == 3:
                    raise
                swallowed += 1
            sent_since += bool(swallowed)
            await send(PIECE)

    task = served.request(app, HTTP)
    await until(lambda: len(served.sent) > 3)
    before = len(served.sent)
    served.revoked.add("olga")
    assert served.open.cut(served.open.revoked()) == 1
    assert served.open.cut(served.open.revoked()) == 0
    await served.until_cut(task)
    assert swallowed == 3
    assert sent_since > 3
    assert served.sent[before:] in ([LAST], [PIECE, LAST])


async def test_an_app_that_cleans_up_is_not_cancelled_at_every_tick() -> None:
    served, cancelled = Served(), 0

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal cancelled
        await send(start(STREAM))
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(100):
                await asyncio.sleep(0.001)
            cancelled += 1

    task = served.request(app, HTTP)
    await until(lambda: served.sent)
    await served.until_cut(task)
    assert cancelled == 1


async def test_an_app_that_does_nothing_but_send_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_CANCEL_AGAIN_SECONDS", 0.01)
    served, swallowed = Served(), False

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal swallowed
        await send(start(STREAM))
        while True:
            try:
                await (send(PIECE) if swallowed else asyncio.Event().wait())
            except asyncio.CancelledError:
                if swallowed:
                    raise
                swallowed = True

    task = served.request(app, HTTP)
    await until(lambda: served.sent)
    await served.until_cut(task)
    assert gone_on(served) == ["http.response.start", "http.response.body"]


async def test_an_app_that_ends_as_if_nothing_were_has_not_answered() -> None:
    served = Served()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await send(start())
            await send(LAST)

    task = served.request(app, HTTP)
    await until(lambda: len(served.open) == 1)
    await served.until_cut(task)
    assert [message.get("status") for message in served.sent] == [401, None]


async def test_an_app_that_fails_over_its_cancellation_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    served = Served()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ZeroDivisionError from None

    task = served.request(app, HTTP)
    await until(lambda: len(served.open) == 1)
    await served.until_cut(task)
    assert served.sent[0]["status"] == 401
    assert "ZeroDivisionError" in caplog.text


async def test_what_was_cut_ends_although_it_was_taken_back_in_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing that it sends gets out any more: it must not hang there."""
    monkeypatch.setattr(module, "_CANCEL_AGAIN_SECONDS", 0.01)
    served, swallowed = Served(), 0

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal swallowed
        await send(start())
        while swallowed < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1

    task = served.request(app, HTTP)
    await until(lambda: served.sent)
    served.revoked.add("olga")
    served.open.cut(served.open.revoked())
    served.revoked.clear()
    while not task.done():
        served.open.cut(served.open.revoked())
        await asyncio.sleep(0.001)
    assert swallowed == 2


@pytest.mark.parametrize(
    ("scope", "said"),
    [(HTTP, []), (HTTP, [start(STREAM)]), (SOCKET, []), (SOCKET, [ACCEPT])],
    ids=["nothing sent", "stream", "handshake", "socket"],
)
async def test_a_client_that_does_not_read_has_a_moment_for_the_last_words(
    scope: Scope, said: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the cancellation is let through, upon which servers close the connection."""
    monkeypatch.setattr(module, "_LAST_WORDS_SECONDS", 0.05)
    served = Served()
    task = served.request(answering(*said), scope)
    await until(lambda: len(served.sent) == len(said) and len(served.open) == 1)
    served.reads = asyncio.Event()
    served.revoked.add("olga")
    served.open.cut(served.open.revoked())
    await asyncio.wait([task], timeout=20)
    assert task.cancelled()
    assert len(served.sent) == len(said)


@pytest.mark.parametrize("received", [False, True])
async def test_a_handshake_that_the_app_has_begun_is_refused_too(
    monkeypatch: pytest.MonkeyPatch, *, received: bool
) -> None:
    monkeypatch.setattr(module, "_LAST_WORDS_SECONDS", 1000)
    served, begun = Served(), asyncio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        if received:
            assert (await receive())["type"] == "websocket.connect"
        begun.set()
        await asyncio.Event().wait()

    task = served.request(app, SOCKET)
    await begun.wait()
    served.revoked.add("olga")
    served.open.cut(served.open.revoked())
    await asyncio.wait([task], timeout=20)
    assert task.done()
    assert gone_on(served) == ["websocket.http.response.start", "websocket.http.response.body"]


async def test_a_server_that_stops_in_the_middle_of_a_cut_is_heard() -> None:
    served, cleaning = Served(), asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start(STREAM))
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await asyncio.Event().wait()

    task = served.request(app, HTTP)
    await until(lambda: served.sent)
    served.revoked.add("olga")
    served.open.cut(served.open.revoked())
    await cleaning.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone_on(served) == ["http.response.start"]


async def test_what_was_cut_leaves_its_task_as_it_was() -> None:
    served = Served()
    task = served.request(answering(start()), HTTP)
    await until(lambda: served.sent)
    await served.until_cut(task)
    assert task.cancelling() == 0
    assert not task.cancelled()
