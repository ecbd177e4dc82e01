"""What being asked costs: one route with token, scope and audit record, beside itself made public.

Both are asked with the same token, in turn, A B A B, on one server process with a SQLite database
and the default audit (every decision, batched). The last line is the median of the rounds' ratios.
The processor time is that of the whole server process, its writing thread included.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rates import free_port, process, resident_mib
from licet.testing import TokenFactory

CLIENTS = 32
TARGET = 0.85
PROGRAM = """
from fastapi import FastAPI
from licet.db.sqlite import SqliteDb
from licet.os import AgentOS, AuthorizationConfig

own = FastAPI()

@own.get("/public")
@own.get("/asked")
async def answer():
    return {"answer": 42}

agent_os = AgentOS(
    id="bench-os",
    db=SqliteDb(db_file="bench.db"),
    base_app=own,
    authorization=True,
    authorization_config=AuthorizationConfig(
        verification_keys=[open("public.pem").read()],
        public_paths=["/public"],
        scope_mappings={"GET /asked": ["reports:read"]},
    ),
)
app = agent_os.get_app()
"""


class Client(asyncio.Protocol):
    """Sends one request again and again, each when the answer before is whole."""

    def __init__(self, request: bytes, until: float) -> None:
        self.done = 0
        self.ended = asyncio.get_running_loop().create_future()
        self._request = request
        self._until = until
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count a whole answer and send the next request."""
        self._buffer += data
        if not self._buffer.endswith(b'{"answer":42}'):
            return
        assert self._transport is not None
        assert self._buffer.startswith(b"HTTP/1.1 200"), self._buffer
        self._buffer = b""
        self.done += 1
        if time.perf_counter() < self._until:
            self._transport.write(self._request)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        """End."""
        if not self.ended.done():
            self.ended.set_result(None)


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measured:
    """Answers a second, and the server's processor time for each, in microseconds."""

    rate: float
    cpu_us: float


async def measured(port: int, pid: int, path: str, token: str, seconds: float) -> Measured:
    """Ask for a path for some seconds."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()
    loop, began, cpu = asyncio.get_running_loop(), time.perf_counter(), cpu_seconds(pid)
    clients = []
    for _ in range(CLIENTS):
        _, client = await loop.create_connection(
            lambda: Client(request, began + seconds), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.gather(*(client.ended for client in clients))
    done, took = sum(client.done for client in clients), time.perf_counter() - began
    return Measured(done / took, (cpu_seconds(pid) - cpu) / done * 1e6)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--rounds", type=int, default=7, help="A B A B …")
    chosen = parser.parse_args()
    tokens = TokenFactory()
    token = tokens.token("bench", scopes=("reports:read",))
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "program.py").write_text(PROGRAM)
        Path(folder, "public.pem").write_text(tokens.public_key)
        command = [
            *(sys.executable, "-m", "uvicorn", "program:app", "--port", str(port)),
            *("--app-dir", folder, "--log-level", "warning"),
        ]
        with process(command, f"http://127.0.0.1:{port}/health", {}, cwd=folder) as server:
            public: list[Measured] = []
            asked: list[Measured] = []
            for _ in range(chosen.rounds):
                for path, found in (("/public", public), ("/asked", asked)):
                    found.append(
                        asyncio.run(measured(port, server.pid, path, token, chosen.seconds))
                    )
            resident = resident_mib(server)
    for name, found in (("public", public), ("asked", asked)):
        rate = statistics.median(one.rate for one in found)
        cpu_us = statistics.median(one.cpu_us for one in found)
        print(f"{name:10}{rate:8.0f} requests/s {cpu_us:8.1f} us of processor time each")
    pairs = list(zip(public, asked, strict=True))
    cpu = statistics.median(b.cpu_us / a.cpu_us for a, b in pairs)
    ratio = statistics.median(b.rate / a.rate for a, b in pairs)
    print(f"resident  {resident:8.0f} MiB; processor time asked / public {cpu:.2f}")
    print(f"ratio     {ratio:8.2f} (at least {TARGET} is wanted)")
    assert ratio >= TARGET, ratio


if __name__ == "__main__":
    main()
