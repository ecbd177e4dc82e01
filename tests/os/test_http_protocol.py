"""What a request may bring before anybody looks at it, at a serving process, over raw sockets."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from licet.os.config import Settings
from licet.os.serving import http_protocol
from licet.testing import TokenFactory
from tests.support.process import Process, free_port, licet, running

KIB, MIB = 1 << 10, 1 << 20
LIMIT = 64 * KIB
FLOOD = 64 * MIB
# What a connection may hold, besides the buffers of the kernel on both sides.
MOST_SENT, MOST_KEPT = 8 * MIB, 8 * MIB
DEADLINE_SECONDS = 20.0
TOKENS = TokenFactory()
PROGRAM = '''
from fastapi import FastAPI, Request, WebSocket

from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS, AuthorizationConfig

mine = FastAPI()


@mine.post("/length")
async def length(request: Request) -> int:
    return len(await request.body())


@mine.get("/wait")
async def wait(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@mine.websocket("/live")
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


agent_os = AgentOS(
    db=InMemoryDb(),
    base_app=mine,
    authorization=True,
    authorization_config=AuthorizationConfig(
        verification_keys=["""{key}"""],
        scope_mappings={{"POST /length": [], "GET /wait": [], "WEBSOCKET /live": []}},
    ),
)
'''
HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
BEARER = b"Authorization: Bearer " + TOKENS.token("olga").encode() + b"\r\n"


@dataclass(frozen=True)
class Served:
    process: Process
    port: int

    def connect(self) -> socket.socket:
        link = socket.socket()
        # What waits on our own side was not read by anybody.
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.settimeout(DEADLINE_SECONDS)
        link.connect(("127.0.0.1", self.port))
        return link

    @property
    def most_memory_bytes(self) -> int:
        """The most room that the process has had so far."""
        status = Path(f"/proc/{self.process.popen.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * KIB


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "program.py").write_text(PROGRAM.format(key=TOKENS.public_key))
    port = free_port()
    command = licet("serve", "program:agent_os", "--port", str(port))
    with running(command, cwd=folder) as process:
        process.wait_until_serving(f"http://127.0.0.1:{port}/health")
        made = Served(process, port)
        with made.connect() as link:
            link.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            received(link)
        yield made


def received(link: socket.socket) -> bytes:
    """What comes until the server closes."""
    found = b""
    with suppress(ConnectionResetError):
        while chunk := link.recv(65536):
            found += chunk
    return found


def answers(raw: bytes) -> list[int]:
    """The statuses of several answers on one connection."""
    return [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]]


FIRST = b"GET /agents HTTP/1.1\r\nHost: x\r\n"
FLOODS = {
    "one header": (FIRST + b"Authorization: Bearer ", b"x" * 65536),
    "many headers": (FIRST, b"a: b\r\n" * 10_000),
    "headers with names alone": (FIRST, b"x" * 65536),
    "one target": (b"GET /", b"x" * 65536),
    "one query": (b"GET /agents?a=", b"x" * 65536),
    "line breaks": (b"", b"\r\n" * 32768),
    "headers of a handshake": (b"GET /live HTTP/1.1\r\n" + HANDSHAKE, b"a: b\r\n" * 10_000),
    "one header of a handshake": (b"GET /live HTTP/1.1\r\n" + HANDSHAKE + b"A: ", b"x" * 65536),
}


@pytest.mark.parametrize("which", FLOODS)
def test_headers_without_end_are_neither_read_nor_kept(served: Served, which: str) -> None:
    first, piece = FLOODS[which]
    before, sent = served.most_memory_bytes, 0
    with served.connect() as link:
        link.sendall(first)
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < FLOOD:
                link.sendall(piece)
                sent += len(piece)
        answer = received(link)
    assert sent < MOST_SENT
    assert served.most_memory_bytes - before < MOST_KEPT
    # The reset may take the answer away.
    assert answers(answer) in ([431], [])


@pytest.mark.parametrize("which", FLOODS)
def test_who_stops_in_time_reads_why(served: Served, which: str) -> None:
    first, piece = FLOODS[which]
    with served.connect() as link:
        link.sendall(first + piece + piece[:10_000])
        answer = received(link)
    assert answers(answer) == [431]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert body == b'{"detail":"The headers are larger than 65536 bytes"}'
    said = "denied 431 from 127.0.0.1: The headers are larger than 65536 bytes"
    served.process.wait_for(lambda: said in served.process.output, what=said)


def test_trailers_without_end_are_neither_read_nor_kept(served: Served) -> None:
    before, sent = served.most_memory_bytes, 0
    head = b"GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with served.connect() as link:
        link.sendall(head + b"1\r\nx\r\n0\r\nA: ")
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < FLOOD:
                link.sendall(b"x" * 65536)
                sent += 65536
        received(link)
    assert sent < MOST_SENT
    assert served.most_memory_bytes - before < MOST_KEPT


def sized(size: int, *, close: bool = True, first: bytes = b"GET /agents HTTP/1.1") -> bytes:
    """A request whose target and headers have a size: that of the limit."""
    lines = [b"Host: x", b"Connection: close" if close else b"Accept: */*"]
    target = first.split()[1]
    rest = size - len(target) - sum(len(line) + 2 for line in lines) - 4
    headers = b"".join(line + b"\r\n" for line in (*lines, b"A: " + b"x" * (rest - 1)))
    return first + b"\r\n" + headers + b"\r\n"


@pytest.mark.parametrize("pieces", ["at once", "in two", "in many"])
@pytest.mark.parametrize(
    ("size", "status"), [(LIMIT - 100, 401), (LIMIT, 401), (LIMIT + 1, 431), (2 * LIMIT, 431)]
)
def test_the_limit_is_the_same_in_whatever_pieces_they_come(
    served: Served, size: int, status: int, pieces: str
) -> None:
    request = sized(size)
    length = {"at once": len(request), "in two": len(request) // 2 + 1, "in many": 999}[pieces]
    with served.connect() as link:
        with suppress(BrokenPipeError, ConnectionResetError):
            for start in range(0, len(request), length):
                link.sendall(request[start : start + length])
        answer = received(link)
    assert answers(answer) == [status] or (answer == b"" and status == 431)


def test_many_requests_of_one_connection_are_not_added_up(served: Served) -> None:
    request = sized(8 * KIB, close=False)
    with served.connect() as link:
        for _ in range(50):
            link.sendall(request)
            answer = b""
            while not answer.endswith(b"}"):
                answer += link.recv(65536)
            assert answers(answer) == [401]


@pytest.mark.parametrize("length", [7, 1000, 30_000, 100_000])
def test_requests_in_a_row_are_not_added_up(served: Served, length: int) -> None:
    # They do not wait for answers, and a piece may hold parts of several.
    last = sized(2 * KIB)
    row = sized(2 * KIB, close=False) * (3 if length == 7 else 100) + last
    with served.connect() as link:
        for start in range(0, len(row), length):
            link.sendall(row[start : start + length])
        found = answers(received(link))
    assert found == [401] * row.count(b"GET ")


def test_what_comes_after_good_requests_is_refused_after_them(served: Served) -> None:
    with served.connect() as link:
        link.sendall(sized(1 * KIB, close=False) * 3 + sized(LIMIT + 1, close=False))
        assert answers(received(link)) == [401, 401, 401, 431]


def test_nothing_is_said_in_the_midst_of_another_answer(served: Served) -> None:
    with served.connect() as link:
        link.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n" + BEARER + b"\r\n")
        link.sendall(FIRST + b"A: ")
        sent = 0
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < FLOOD:
                link.sendall(b"x" * 65536)
                sent += 65536
        assert sent < MOST_SENT
        assert received(link) == b""


@pytest.mark.parametrize("chunked", [True, False])
def test_bodies_are_not_counted(served: Served, chunked: bool) -> None:  # noqa: FBT001 - a case
    body = b"x" * MIB
    kind = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    head = b"POST /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + BEARER + kind
    if chunked:
        body = b"".join(b"%x\r\n%b\r\n" % (1024, body[:1024]) for _ in range(KIB)) + b"0\r\n\r\n"
    with served.connect() as link:
        link.sendall(head + b"\r\n\r\n" + body)
        answer = received(link)
    assert answers(answer) == [200]
    assert answer.endswith(b"\r\n\r\n%d" % MIB)


def handshake(served: Served, *lines: bytes, opened: bool = False) -> bytes:
    head = b"GET /live HTTP/1.1\r\nHost: x\r\n" + HANDSHAKE + BEARER
    with served.connect() as link:
        link.sendall(head + b"".join(line + b"\r\n" for line in lines) + b"\r\n")
        return link.recv(65536) if opened else received(link)


def test_a_handshake_is_taken(served: Served) -> None:
    assert answers(handshake(served, opened=True)) == [101]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((b"A: " + b"x" * LIMIT,), [431]),
        # The WebSocket library's own limits, of a line and of their number, and what it reads not.
        ((b"A: " + b"x" * 9000,), [431]),
        ((b"A: b",) * 200, [431]),
        ((b"Content-Length: 5",), []),
    ],
    ids=["too much", "a long line", "many lines", "a body"],
)
def test_a_handshake_that_is_none_is_answered_and_closed(
    served: Served, lines: tuple[bytes, ...], found: list[int]
) -> None:
    assert answers(handshake(served, *lines)) == found


def test_the_other_parser_has_a_bound_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert http_protocol() != "auto"
    monkeypatch.setitem(sys.modules, "httptools", None)
    assert http_protocol() == "auto"


def test_the_bound_is_a_setting(served: Served, tmp_path: Path) -> None:
    assert Settings().max_header_bytes == LIMIT
    text = PROGRAM.format(key=TOKENS.public_key)
    text = text.replace("AgentOS(\n", "AgentOS(\n    settings=Settings(max_header_bytes=2048),\n")
    text = text.replace("AgentOS, ", "AgentOS, Settings, ", 1)
    (tmp_path / "program.py").write_text(text)
    port = free_port()
    command = licet("serve", "program:agent_os", "--port", str(port), "--workers", "2")
    with running(command, cwd=tmp_path) as process:
        process.wait_until_serving(f"http://127.0.0.1:{port}/health")
        for size, status in ((2048, 401), (2049, 431)):
            with Served(process, port).connect() as link:
                link.sendall(sized(size))
                assert answers(received(link)) == [status]
