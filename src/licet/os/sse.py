"""Server-sent events: how a run's events look on the wire, and the response that sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from licet.agent.events import AgentEvent, RunCancelled, RunCompleted, RunContent, RunError
from licet.agent.output import plain
from licet.runs.log import EventLog

_PING = b": ping\n\n"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

_encoder = msgspec.json.Encoder(enc_hook=plain)
_SPARE = (RunContent, RunCompleted, RunError, RunCancelled)


def frame(event: AgentEvent, index: int) -> bytes:
    """One event as a frame: its name, its index as the event's id, and its JSON on one line."""
    return b"event: %b\nid: %d\ndata: %b\n\n" % (
        event.event.encode(),
        index,
        _encoder.encode(event),
    )


def writer(log: EventLog, *, all_events: bool = True) -> Callable[[AgentEvent], None]:
    """What takes a run's events into a log; not ``all_events``: the answer and its end only."""

    def write(event: AgentEvent) -> None:
        if all_events or isinstance(event, _SPARE):
            log.append(frame(event, log.next_index))

    return write


class EventStream(Response):
    """A response that follows a log. A client that leaves ends the response, not the run."""

    media_type = "text/event-stream"

    def __init__(
        self, log: EventLog, *, ping_seconds: float, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(headers={**_HEADERS, **(headers or {})})
        del self.headers["content-length"]
        self._log = log
        self._ping_seconds = ping_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send frames as they come, and pings while there are none."""
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        sending = asyncio.ensure_future(self._send_frames(send))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            # Whatever comes first: a silent run must not keep the response of a client that left.
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, gone):
                task.cancel()

    async def _send_frames(self, send: Send) -> None:
        async for ready in self._log.follow(idle_seconds=self._ping_seconds):
            body = _PING if ready is None else ready
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
