"""HTTP as uvicorn reads it, with a bound on what a request brings before anybody looks at it.

httptools keeps a header until it is complete, however large it becomes. The bound is uvicorn's
``h11_max_incomplete_event_size``, which its other parser has of itself.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop, Transport
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from licet.os.config import DEFAULT_MAX_HEADER_BYTES
from licet.os.denial import Denial
from licet.os.joined_writes import JoinedWrites

logger = logging.getLogger(__name__)

# What stands around a header: a colon, a space, a line break.
_AROUND_BYTES = 4
_ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/json\r\n"
    b"content-length: %d\r\n"
    b"connection: close\r\n\r\n%b"
)


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection. Too large headers are answered 431 (RFC 6585 §5), and it is closed.

    Kept are the bound and one piece of what was received (uvloop: 256 KiB) at most. What is written
    in one turn of the event loop goes out together.
    """

    # Outside of the dictionary of uvicorn's own attributes: with more than 30 in it, Python gives
    # each connection a table of names of its own.
    __slots__ = ("_limit_bytes", "_pending_bytes", "_piece_bytes", "_uncounted_bytes")

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limit_bytes = config.h11_max_incomplete_event_size or DEFAULT_MAX_HEADER_BYTES
        # Received since headers were last complete, or a piece of a body came: a part of headers,
        # of what stands between requests, or of trailers, which are headers after a body.
        self._pending_bytes = 0
        # Of the piece in which that was: what followed in it is counted nowhere.
        self._uncounted_bytes = 0
        self._piece_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Begin to read."""
        super().connection_made(transport)
        self.transport = self._writes = JoinedWrites(transport, self.loop)

    def on_response_complete(self) -> None:
        """Nothing more of this answer comes: it need not wait for the turn's end."""
        self._writes.flush()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Read on, unless it leads nowhere."""
        self._piece_bytes = len(data)
        self._pending_bytes += self._piece_bytes
        super().data_received(data)
        if self._pending_bytes > self._limit_bytes and not self.transport.is_closing():
            self._refuse()

    def on_headers_complete(self) -> None:
        """Begin a request, or its refusal: in what pieces it came makes no difference."""
        at_most = self._pending_bytes + self._uncounted_bytes
        self._pending_bytes, self._uncounted_bytes = 0, self._piece_bytes
        if at_most <= self._limit_bytes or self._size() <= self._limit_bytes:
            super().on_headers_complete()
            return
        # Nothing of them counts; a WebSocket is not asked for either.
        self.headers.clear()
        usual, self.app = self.app, self._answer
        super().on_headers_complete()
        self.app = usual
        self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Bodies have their own limit."""
        self._pending_bytes, self._uncounted_bytes = 0, self._piece_bytes
        super().on_body(body)

    def handle_websocket_upgrade(self) -> None:
        """Hand over; where the WebSocket library refuses without an event, send its answer."""
        self._writes.flush()
        self.transport = self._writes.real
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        if (
            isinstance(protocol, WebSocketsSansIOProtocol)
            and protocol.conn.handshake_exc is not None
            and not self.transport.is_closing()
        ):
            self.transport.write(b"".join(protocol.conn.data_to_send()))
            self.transport.close()

    def _size(self) -> int:
        """Of the target and the headers that were read, in bytes."""
        around = _AROUND_BYTES * len(self.headers)
        return len(self.url) + around + sum(len(name) + len(value) for name, value in self.headers)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._denial().send(scope, receive, send)

    def _refuse(self) -> None:
        """Answer what never became a request; not in the midst of another answer."""
        detail = self._denial().detail
        client = "nowhere" if self.client is None else self.client[0]
        logger.info("denied 431 from %s: %s", client, detail)
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]  # None at first
            body = msgspec.json.encode({"detail": detail})
            self.transport.write(_ANSWER % (len(body), body))
        self.transport.close()

    def _denial(self) -> Denial:
        return Denial(431, f"The headers are larger than {self._limit_bytes} bytes")
