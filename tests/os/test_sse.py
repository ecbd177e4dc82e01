from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message

from licet.agent.events import AgentEvent, RunCancelled, RunContent, RunStarted
from licet.os.sse import EventStream, frame, writer
from licet.runs.log import EventLog

WHERE: dict[str, Any] = {
    "created_at": 1,
    "agent_id": "a",
    "agent_name": "A",
    "run_id": "r",
    "session_id": "s",
    "nested_depth": 0,
}
STARTED = RunStarted(**WHERE, model="m", model_provider="p")
CONTENT = RunContent(**WHERE, content="two\nlines")
CANCELLED = RunCancelled(**WHERE, content="two", reason="stopped")
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


def follow(log: EventLog, client: Client, *, ping_seconds: float = SECONDS) -> asyncio.Task[None]:
    response = EventStream(log, ping_seconds=ping_seconds, headers={"x-run": "r"})
    return asyncio.ensure_future(response({"type": "http"}, client.receive, client.send))


def test_a_frame_is_the_events_name_index_and_json_on_one_line() -> None:
    name, number, data, *rest = frame(CONTENT, 7).decode().split("\n")
    assert (name, number, rest) == ("event: RunContent", "id: 7", ["", ""])
    body = json.loads(data.removeprefix("data: "))
    assert (body["event"], body["content"], body["run_id"]) == ("RunContent", "two\nlines", "r")


@pytest.mark.parametrize(
    ("all_events", "expected"),
    [
        (True, ["RunStarted", "RunContent", "RunCancelled"]),
        (False, ["RunContent", "RunCancelled"]),
    ],
)
async def test_a_writer_numbers_what_it_takes(all_events: bool, expected: list[str]) -> None:  # noqa: FBT001 - a case
    log, client = EventLog(), Client()
    write = writer(log, all_events=all_events)
    events: list[AgentEvent] = [STARTED, CONTENT, CANCELLED]
    for event in events:
        write(event)
    log.close()
    await asyncio.wait_for(follow(log, client), SECONDS)
    lines = client.body.decode().splitlines()
    assert [line for line in lines if line.startswith("event")] == [f"event: {e}" for e in expected]
    assert [line for line in lines if line.startswith("id")] == [
        f"id: {index}" for index in range(len(expected))
    ]


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


async def test_silence_is_filled_with_comments() -> None:
    log, client = EventLog(), Client()
    task = follow(log, client, ping_seconds=0.01)
    await client.until(lambda body: body.count(b": ping\n\n") >= 3)
    log.close()
    await asyncio.wait_for(task, SECONDS)


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
