"""Server-sent events: the response that sends a run's events (frames) to one client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from licet.os.open_requests import was_cut
from licet.os.open_streams import OpenStreams
from licet.runs.event_source import EventSource, Gap

_PING = b": ping\n\n"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


def notice(event: str, **fields: Any) -> bytes:
    """A frame that is none of the run's events: it has no id, so a client's last one stays."""
    body = msgspec.json.encode({"event": event, **fields})
    return b"event: %b\ndata: %b\n\n" % (event.encode(), body)


async def body_of(
    source: EventSource,
    run_id: str,
    *,
    after: int = -1,
    before: int | None = None,
    ping_seconds: float,
) -> AsyncIterator[bytes]:
    """The events of a run (``EventSource.follow``) as they are sent; a comment in each silence."""
    async for piece in source.follow(after=after, before=before, idle_seconds=ping_seconds):
        if piece is None:
            yield _PING
        elif isinstance(piece, Gap):
            yield notice(
                "events_dropped",
                run_id=run_id,
                first_missed_index=piece.first,
                missed_events=piece.count,
            )
        else:
            yield piece


class EventStream(Response):
    """A response of frames. A client that leaves ends the response, not the run.

    Args:
        body: the frames, joined or not, as they come.
        streams: where it is noted while it is sent.
        headers: more of them.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        body: AsyncIterator[bytes],
        *,
        streams: OpenStreams,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(headers={**_HEADERS, **(headers or {})})
        del self.headers["content-length"]
        self._pieces = body
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes, until nothing does or the client leaves."""
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        if scope.get("method") == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        with self._streams.sending():
            await self._send_all(scope, receive, send)

    async def _send_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send_pieces(send))
        gone = asyncio.ensure_future(_disconnected(receive))
        # Whatever comes first: a silent run must not keep the response of a client that left.
        first = asyncio.FIRST_COMPLETED
        try:
            try:
                await asyncio.wait((sending, gone), return_when=first)
            except asyncio.CancelledError:
                patience_seconds = self._streams.patience_seconds
                if patience_seconds <= 0 or was_cut(scope):
                    raise
                # The server stops. The runs are stopped next, and say so.
                done, _ = await asyncio.wait(
                    (sending, gone), timeout=patience_seconds, return_when=first
                )
                if not done:
                    raise
            if sending.done():
                sending.result()
        finally:
            for task in (sending, gone):
                task.cancel()

    async def _send_pieces(self, send: Send) -> None:
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
