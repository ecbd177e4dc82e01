"""Server processes: started, waited for, looked at from outside, and ended by their own id."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEADLINE_SECONDS = 120.0
_PROBE = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory (RSS), and the same where what is shared counts for its part (PSS)."""

    resident_kib: int
    proportional_kib: int


@dataclass(frozen=True, slots=True)
class Server:
    """One process that answers; ``ready_seconds`` after it was started."""

    port: int
    pid: int
    ready_seconds: float

    def cpu_seconds(self) -> float:
        """The processor time that it has used, in all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> Memory:
        """The memory that it has now."""
        found = {}
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            name, value, *_ = line.split()
            found[name] = value
        return Memory(int(found["Rss:"]), int(found["Pss:"]))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    command: Sequence[str], *, port: int, folder: Path, env: Mapping[str, str]
) -> Iterator[Server]:
    """A server process, from the moment it answers on its port.

    Raises:
        RuntimeError: it ended or did not answer; with the end of what it said.
    """
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        started = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **env}, stdout=said, stderr=said
        )
        try:
            while not _answers(port):
                if started.poll() is not None or time.perf_counter() - began > DEADLINE_SECONDS:
                    said.seek(0)
                    last = said.read()[-2000:].decode(errors="replace")
                    raise RuntimeError(f"{' '.join(command)} does not serve:\n{last}")
                time.sleep(0.002)
            yield Server(port, started.pid, time.perf_counter() - began)
        finally:
            started.terminate()
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
            probe.sendall(_PROBE)
            return probe.recv(12).startswith(b"HTTP/1.1 ")
    except OSError:
        return False
