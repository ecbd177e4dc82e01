"""What is written in one turn of the event loop goes out together, over a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from licet.os.joined_writes import JoinedWrites

DEADLINE_SECONDS = 20.0


class Counting(asyncio.Transport):
    """A real transport that counts the calls it gets."""

    def __init__(self, real: asyncio.Transport) -> None:
        super().__init__()
        self.real = real
        self.calls = 0

    def writelines(self, list_of_data: Any) -> None:
        self.calls += 1
        self.real.writelines(list_of_data)

    def __getattribute__(self, name: str) -> Any:
        own = name in {"real", "calls", "writelines", "__class__"}
        return object.__getattribute__(self, name) if own else getattr(self.real, name)


@dataclass
class Connection:
    """Both ends of a connection."""

    writes: JoinedWrites
    counted: Counting
    client: socket.socket
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, length: int) -> bytes:
        read = b""
        while len(read) < length:
            piece = await asyncio.get_running_loop().sock_recv(self.client, length - len(read))
            assert piece, "it was closed"
            read += piece
        return read

    def read_at_once(self) -> bytes:
        try:
            return self.client.recv(1 << 20)
        except BlockingIOError:
            return b""


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    server, client = socket.socketpair()
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()

    class Closing(asyncio.Protocol):
        def connection_lost(self, _error: Exception | None) -> None:
            closed.set()

    transport, _ = await loop.create_connection(Closing, sock=server)
    counted = Counting(transport)
    made = Connection(JoinedWrites(counted, loop), counted, client, closed)
    yield made
    transport.close()
    await asyncio.wait_for(closed.wait(), DEADLINE_SECONDS)
    client.close()


async def test_what_is_written_in_a_turn_is_given_away_at_its_end(connection: Connection) -> None:
    for piece in (b"head", bytearray(b"er"), memoryview(b" body")):
        connection.writes.write(piece)
    assert connection.read_at_once() == b""
    assert await connection.read(11) == b"header body"
    assert connection.counted.calls == 1


async def test_each_turn_gives_away_what_is_its_own(connection: Connection) -> None:
    for turn in (b"one", b"two"):
        connection.writes.writelines([turn, b";"])
        assert await connection.read(4) == turn + b";"
    assert connection.counted.calls == 2


async def test_it_can_be_given_away_earlier(connection: Connection) -> None:
    connection.writes.write(b"whole")
    connection.writes.flush()
    assert connection.read_at_once() == b"whole"
    connection.writes.write(b" more")
    assert await connection.read(5) == b" more"


async def test_nothing_is_given_away_where_nothing_was_written(connection: Connection) -> None:
    connection.writes.write(b"")
    connection.writes.flush()
    connection.writes.flush()
    assert connection.counted.calls == 1


async def test_much_does_not_wait_for_the_end_of_the_turn(connection: Connection) -> None:
    """So a stream that never lets others work hears that its client does not read."""
    for _ in range(4):
        connection.writes.write(b"x" * 32 * 1024)
    assert connection.counted.calls == 2


async def test_what_a_buffer_held_is_written_and_not_what_it_holds_later(
    connection: Connection,
) -> None:
    buffer = bytearray(b"now")
    connection.writes.write(buffer)
    buffer[:] = b"new"
    assert await connection.read(3) == b"now"


async def test_it_is_closed_when_all_is_written(connection: Connection) -> None:
    connection.writes.write(b"last")
    connection.writes.close()
    assert connection.writes.is_closing()
    assert await connection.read(4) == b"last"
    await asyncio.wait_for(connection.closed.wait(), DEADLINE_SECONDS)


async def test_what_is_written_afterwards_is_left(connection: Connection) -> None:
    connection.writes.write(b"late")
    connection.counted.real.abort()
    connection.writes.flush()
    assert connection.counted.calls == 0


async def test_it_tells_of_the_transport_what_that_tells(connection: Connection) -> None:
    real, writes = connection.counted.real, connection.writes
    assert writes.get_extra_info("socket") is real.get_extra_info("socket")
    assert writes.get_extra_info("nothing", "default") == "default"
    assert writes.get_protocol() is real.get_protocol()
    other = asyncio.Protocol()
    before = real.get_protocol()
    writes.set_protocol(other)
    assert real.get_protocol() is other
    writes.set_protocol(before)
