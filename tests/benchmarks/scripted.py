"""A server that answers exactly what a test tells it to, when it tells it to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Scripted:
    """Where it is, and what it was asked."""

    port: int = 0
    asked: list[bytes] = field(default_factory=list)


@contextmanager
def scripted(answer: Answer) -> Iterator[Scripted]:
    """Serve in a thread; ``answer`` is called with the head of each request."""
    server, ready, ended = Scripted(), threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not reader.at_eof():
                head = await reader.readuntil(b"\r\n\r\n")
                server.asked.append(head)
                await answer(head, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def serve() -> None:
        listening = await asyncio.start_server(connected, "127.0.0.1", 0)
        server.port = listening.sockets[0].getsockname()[1]
        loops.append(asyncio.get_running_loop())
        ready.set()
        await ended.wait()
        listening.close()

    # What is still connected at the end is closed by it.
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join(10)


def plain(body: bytes, status: int = 200) -> bytes:
    """A whole answer."""
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


def chunked(*pieces: bytes) -> bytes:
    """The same in chunks."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
