from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message, Scope

from licet.os.open_requests import OpenRequests
from licet.os.open_streams import OpenStreams
from licet.os.sse import EventStream, body_of, notice
from licet.runs.log import EventLog

SECONDS = 10


class Client:
    """Takes what a response sends, and leaves when it is told to."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.messages: list[Message] = []
        self.left = asyncio.Event()
        self.got = asyncio.Condition()
        self.breaks = breaks

    async def receive(self) -> Message:
        if self.messages:
            await self.left.wait()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        if self.breaks and message.get("more_body"):
            raise OSError("the line is cut")
        async with self.got:
            self.messages.append(message)
            self.got.notify_all()

    async def until(self, seen: Callable[[bytes], bool]) -> None:
        async with asyncio.timeout(SECONDS), self.got:
            await self.got.wait_for(lambda: seen(self.body))

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


def response_of(
    log: EventLog, *, ping_seconds: float = SECONDS, patience_seconds: float = 0.0
) -> EventStream:
    return EventStream(
        body_of(log, "r", ping_seconds=ping_seconds),
        streams=OpenStreams(patience_seconds=patience_seconds),
        headers={"x-run": "r"},
    )


def follow(log: EventLog, client: Client, method: str = "GET", **how: Any) -> asyncio.Task[None]:
    scope = {"type": "http", "method": method}
    return asyncio.ensure_future(response_of(log, **how)(scope, client.receive, client.send))


async def test_a_stream_says_what_it_is_and_ends_with_its_log() -> None:
    log, client = EventLog(), Client()
    task = follow(log, client)
    log.append(b"data: 1\n\n")
    await client.until(lambda body: b"data: 1" in body)
    assert not task.done()
    log.close()
    await asyncio.wait_for(task, SECONDS)
    start, *_, last = client.messages
    headers = dict(start["headers"])
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-accel-buffering"] == b"no"
    assert headers[b"x-run"] == b"r"
    assert b"content-length" not in headers
    assert last == {"type": "http.response.body", "body": b""}


async def test_who_asks_for_the_head_does_not_wait_for_the_end() -> None:
    log, client = EventLog(), Client()
    log.append(b"data: 1\n\n")
    await asyncio.wait_for(follow(log, client, "HEAD"), SECONDS)
    assert [message["type"] for message in client.messages] == [
        "http.response.start",
        "http.response.body",
    ]
    assert client.body == b""


async def test_silence_is_filled_with_comments() -> None:
    log, client = EventLog(), Client()
    task = follow(log, client, ping_seconds=0.01)
    await client.until(lambda body: body.count(b": ping\n\n") >= 3)
    log.close()
    await asyncio.wait_for(task, SECONDS)


def test_a_notice_has_no_id_so_that_the_clients_last_one_stays() -> None:
    name, data, *rest = notice("catch_up", run_id="r").decode().split("\n")
    assert (name, rest) == ("event: catch_up", ["", ""])
    assert json.loads(data.removeprefix("data: ")) == {"event": "catch_up", "run_id": "r"}


async def test_events_that_are_kept_no_longer_are_told_in_their_place() -> None:
    log, client = EventLog(max_frames=1), Client()
    for number in range(3):
        log.append(b"id: %d\ndata: %d\n\n" % (number, number))
    log.close()
    await asyncio.wait_for(follow(log, client), SECONDS)
    dropped, kept = client.body.decode().strip().split("\n\n")
    name, data = dropped.split("\n")
    assert name == "event: events_dropped"
    assert json.loads(data.removeprefix("data: ")) == {
        "event": "events_dropped",
        "run_id": "r",
        "first_missed_index": 0,
        "missed_events": 2,
    }
    assert kept == "id: 2\ndata: 2"


async def test_the_response_ends_as_soon_as_its_client_leaves() -> None:
    log, client = EventLog(), Client()
    task = follow(log, client, ping_seconds=3600)
    log.append(b"data: 1\n\n")
    await client.until(lambda body: b"data: 1" in body)
    client.left.set()
    await asyncio.wait_for(task, SECONDS)
    log.append(b"data: 2\n\n")
    assert b"data: 2" not in client.body
    assert "more_body" in client.messages[-1]


async def test_a_broken_line_ends_the_response_with_its_error() -> None:
    log = EventLog()
    log.append(b"data: 1\n\n")
    with pytest.raises(OSError, match="the line is cut"):
        await asyncio.wait_for(follow(log, Client(breaks=True)), SECONDS)


async def test_a_response_that_is_cancelled_leaves_nothing_behind() -> None:
    log, client = EventLog(), Client()
    before = asyncio.all_tasks()
    task = follow(log, client)
    log.append(b"data: 1\n\n")
    await client.until(lambda body: b"data: 1" in body)
    task.cancel()
    async with asyncio.timeout(SECONDS):
        while asyncio.all_tasks() != before:
            await asyncio.wait(asyncio.all_tasks() - before)


class TestAServerThatStops:
    async def test_what_its_run_says_last_still_reaches_the_client(self) -> None:
        log, client = EventLog(), Client()
        task = follow(log, client, patience_seconds=SECONDS)
        log.append(b"data: 1\n\n")
        await client.until(lambda body: b"data: 1" in body)
        task.cancel()
        await asyncio.sleep(0)
        log.append(b"data: last\n\n")
        log.close()
        await asyncio.wait_for(task, SECONDS)
        assert b"data: last" in client.body
        assert client.messages[-1] == {"type": "http.response.body", "body": b""}

    async def test_a_stream_that_has_no_end_is_cut_off_after_a_while(self) -> None:
        log, client = EventLog(), Client()
        task = follow(log, client, patience_seconds=0.01)
        log.append(b"data: 1\n\n")
        await client.until(lambda body: b"data: 1" in body)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, SECONDS)

    async def test_a_stream_that_is_cancelled_twice_ends(self) -> None:
        log, client = EventLog(), Client()
        task = follow(log, client, patience_seconds=3600)
        log.append(b"data: 1\n\n")
        await client.until(lambda body: b"data: 1" in body)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, SECONDS)

    async def test_it_waits_for_streams_that_are_being_sent(self) -> None:
        log, client, streams = EventLog(), Client(), OpenStreams(patience_seconds=SECONDS)
        await streams.end(timeout_seconds=SECONDS)
        response = EventStream(body_of(log, "r", ping_seconds=SECONDS), streams=streams)
        task = asyncio.ensure_future(response({"type": "http"}, client.receive, client.send))
        log.append(b"data: 1\n\n")
        await client.until(lambda body: b"data: 1" in body)
        await streams.end(timeout_seconds=0.01)
        assert not task.done()
        log.close()
        await streams.end(timeout_seconds=SECONDS)
        assert task.done()


async def test_the_stream_of_a_revoked_reader_waits_for_nothing() -> None:
    log, client, lost = EventLog(), Client(), list[str]()
    requests = OpenRequests(lambda _: lost[0] if lost else None)
    response = response_of(log, patience_seconds=3600)

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await response(scope, receive, send)

    scope: Scope = {"type": "http", "method": "GET", "path": "/"}
    principal: Any = None
    task = asyncio.ensure_future(requests.serve(app, principal, scope, client.receive, client.send))
    log.append(b"data: 1\n\n")
    await client.until(lambda body: b"data: 1" in body)
    lost.append("revoked")
    requests.cut(requests.revoked())
    await asyncio.wait_for(task, SECONDS)
    assert client.messages[-1] == {"type": "http.response.body", "body": b""}
