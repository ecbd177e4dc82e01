"""The client of all measurements: HTTP/1.1 for few instructions, httptools on uvloop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import httptools
import uvloop

T = TypeVar("T")


class Exchange(Protocol):
    """What one client asks, and what it makes of the answers."""

    def request(self) -> bytes | None:
        """The next request; None: there is none."""

    def piece(self, data: bytes) -> None:
        """A piece of an answer's body."""

    def ended(self, status: int) -> None:
        """An answer is whole.

        Raises:
            AssertionError: it is not what it has to be.
        """


class Client(asyncio.Protocol):
    """One connection, for one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._exchange = exchange
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.WriteTransport | None = None
        self._whole = False

    def connection_made(self, transport: Any) -> None:
        """Ask the first thing."""
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Take what was answered, and ask the next thing when that was all."""
        try:
            self._parser.feed_data(data)
            if self._whole:
                self._whole = False
                self._exchange.ended(self._parser.get_status_code())
                self._ask()
        except Exception as error:  # noqa: BLE001 - told by whoever waits for the client
            # What a callback raises comes out of the parser with the cause behind it.
            self._end(
                error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
            )

    def on_body(self, body: bytes) -> None:
        """The parser has a piece of the body."""
        self._exchange.piece(body)

    def on_message_complete(self) -> None:
        """The parser has the end of an answer."""
        self._whole = True

    def connection_lost(self, exc: Exception | None) -> None:
        """The server left: that is wrong unless all is done."""
        self._end(exc or ConnectionError("the server closed the connection"))

    def _ask(self) -> None:
        assert self._transport is not None
        request = self._exchange.request()
        if request is None:
            self._end(None)
        else:
            self._transport.write(request)

    def _end(self, error: BaseException | None) -> None:
        if not self.ended.done():
            if error is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(error)
        if self._transport is not None:
            self._transport.close()


async def drive(port: int, exchanges: Sequence[Exchange], *, apart_seconds: float = 0.0) -> None:
    """Give each exchange a connection, the next one ``apart_seconds`` later; until all have ended.

    Raises:
        AssertionError: an answer was not what it has to be.
        OSError: the server refused or left a connection.
    """
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    for exchange in exchanges:
        _, client = await loop.create_connection(
            partial(Client, exchange),
            "127.0.0.1",
            port,
        )
        clients.append(client)
        if apart_seconds:
            await asyncio.sleep(apart_seconds)
    await asyncio.gather(*(client.ended for client in clients))


class Once:
    """One request, whose answer is kept.

    Attributes:
        status: of the answer.
        body: all of it.
        first_seconds: from the request to the first piece of the body.
        took_seconds: from the request to the end of the answer.
    """

    def __init__(self, request: bytes) -> None:
        self.status = 0
        self.body = b""
        self.first_seconds = 0.0
        self.took_seconds = 0.0
        self._request: bytes | None = request
        self._asked = 0.0

    def request(self) -> bytes | None:
        """The one request."""
        request, self._request = self._request, None
        self._asked = self._asked or time.perf_counter()
        return request

    def piece(self, data: bytes) -> None:
        """Keep a piece."""
        self.first_seconds = self.first_seconds or time.perf_counter() - self._asked
        self.body += data

    def ended(self, status: int) -> None:
        """Keep the status."""
        self.took_seconds = time.perf_counter() - self._asked
        self.status = status


def ask(port: int, request: bytes) -> Once:
    """One request, answered, on a connection of its own."""
    once = Once(request)
    run(drive(port, [once]))
    return once


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run something on a loop of its own."""
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)
