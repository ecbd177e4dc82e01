"""The load: HTTP/1.1 clients of few instructions, each of which asks when its last answer is whole.

The parser is httptools, the loop uvloop: a client costs a fraction of what any server does. What it
can drive is measured, too (``suites/generator.py``).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import httptools
import uvloop

T = TypeVar("T")
CLIENTS = 32


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


class Call(Protocol):
    """A kind of request, and what has to be answered to it."""

    def request(self) -> bytes:
        """One request."""

    def check(self, status: int, body: bytes) -> None:
        """Look at a whole answer.

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
            self._end(error.__context__ if isinstance(error, _FAILED) else error)

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


_FAILED = httptools.HttpParserCallbackError


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


class Window:
    """How long clients ask: for some time after each of them is under way.

    Args:
        clients: how many there are.
        seconds: for how long they ask.
        warm_seconds: for how long they ask before anything counts.
    """

    def __init__(self, clients: int, *, seconds: float, warm_seconds: float) -> None:
        self.warm_until = time.perf_counter() + warm_seconds
        self._waited_for = clients
        self._seconds = seconds
        self._end = math.inf

    def begun(self, now: float) -> None:
        """What one more client is answered counts from now on."""
        self._waited_for -= 1
        if self._waited_for == 0:
            self._end = now + self._seconds

    def is_over(self, now: float) -> bool:
        """Whether nobody asks any longer."""
        return now >= self._end


class Repeated:
    """One kind of request, again and again. Every answer is checked.

    What counts begins with an answer and ends with one: a slow server answers all its clients
    together, and would else be said to do more or less by chance.
    """

    def __init__(self, call: Call, window: Window) -> None:
        self.answers = 0
        self.took_seconds: list[float] = []
        self._call = call
        self._window = window
        self._body: list[bytes] = []
        self._asked = 0.0
        self._began: float | None = None
        self._last = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        assert self._began is not None, "it has not begun"
        return len(self.took_seconds) / (self._last - self._began)

    def request(self) -> bytes | None:
        """The next one, until the window is over."""
        self._asked = time.perf_counter()
        return None if self._window.is_over(self._asked) else self._call.request()

    def piece(self, data: bytes) -> None:
        """Keep a piece."""
        self._body.append(data)

    def ended(self, status: int) -> None:
        """Check the answer, and count it."""
        now, body = time.perf_counter(), b"".join(self._body)
        self._body.clear()
        self._call.check(status, body)
        self.answers += 1
        if self._began is not None:
            self.took_seconds.append(now - self._asked)
            self._last = now
        elif now >= self._window.warm_until:
            self._began = now
            self._window.begun(now)


@dataclass(frozen=True, slots=True)
class Load:
    """What all clients were answered.

    Attributes:
        answers: how many there were in all, also before anything counted.
        took_seconds: how long each took that counts.
        rate: answers a second, the sum of what each client got.
    """

    answers: int
    took_seconds: Sequence[float]
    rate: float


def load(port: int, call: Call, *, seconds: float, clients: int = CLIENTS) -> Load:
    """Let clients ask, each as soon as it has its answer.

    Raises:
        AssertionError: an answer was not what it has to be.
    """
    window = Window(clients, seconds=seconds, warm_seconds=min(1.0, seconds / 4))
    asking = [Repeated(call, window) for _ in range(clients)]
    run(drive(port, asking))
    return Load(
        answers=sum(client.answers for client in asking),
        took_seconds=[took for client in asking for took in client.took_seconds],
        rate=sum(client.rate for client in asking),
    )


def rate(port: int, call: Call, *, seconds: float) -> float:
    """Answers a second, as ``load`` has them."""
    return load(port, call, seconds=seconds).rate


class Once:
    """One request, whose answer is kept."""

    def __init__(self, request: bytes) -> None:
        self.status = 0
        self.body = b""
        self._request: bytes | None = request

    def request(self) -> bytes | None:
        """The one request."""
        request, self._request = self._request, None
        return request

    def piece(self, data: bytes) -> None:
        """Keep a piece."""
        self.body += data

    def ended(self, status: int) -> None:
        """Keep the status."""
        self.status = status


def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """Status and body of one answer."""
    once = Once(request)
    run(drive(port, [once]))
    return once.status, once.body


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run something on a loop of its own."""
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)
