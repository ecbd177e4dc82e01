"""Real processes: started, waited for by what they say or answer, and ended by their own id."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import SystemRandom

import httpx

DEADLINE_SECONDS = 60.0


class Process:
    """A running program and what it has printed so far (both streams, line by line)."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen = popen
        self.lines: list[str] = []
        self._arrived: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line.rstrip("\n"))
            self._arrived.put(line)
        self._arrived.put(None)

    @property
    def output(self) -> str:
        """Everything that was printed so far."""
        return "\n".join(self.lines)

    def wait_for(self, found: Callable[[], bool], *, what: str) -> None:
        """Wait until a condition holds; fail with the program's output if it never does."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not found():
            if self.popen.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"waited in vain for {what}; the program said:\n{self.output}")
            try:
                self._arrived.get(timeout=0.05)
            except queue.Empty:
                continue

    def wait_until_serving(self, url: str) -> None:
        """Wait until an address answers at all."""

        def answers() -> bool:
            try:
                httpx.get(url, timeout=1.0)
            except httpx.TransportError:
                return False
            return True

        self.wait_for(answers, what=f"an answer of {url}")

    def _group_ended(self, *, within_seconds: float) -> bool:
        """Whether all of the group ended in time: the first process is not always the last."""
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            self.popen.poll()
            try:
                os.killpg(self.popen.pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.01)
        return False

    def stop(self) -> int:
        """Ask the program and what it started to end, then insist."""
        for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.popen.pid, how)
            except ProcessLookupError:
                break
            if self._group_ended(within_seconds=15):
                break
        self._reader.join(5)
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        return self.popen.wait(timeout=30)


@contextmanager
def running(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """A program in a process group of its own, ended with the block."""
    popen = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    process = Process(popen)
    try:
        yield process
    finally:
        process.stop()


# Below those that the system gives to whoever asks for any (on Linux, by default): none of the
# hundreds of servers and clients of other tests takes one before the server has it.
_FIRST, _COUNT = 10_000, 22_000
# Each process of tests begins elsewhere. Not with the generator that Hypothesis seeds.
_counter = itertools.count(SystemRandom().randrange(_COUNT))


def free_port() -> int:
    """A TCP port of this machine that nobody listens on, another one each time."""
    while True:
        port = _FIRST + next(_counter) % _COUNT
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def licet(*arguments: str) -> list[str]:
    """The licet command of this environment."""
    return [sys.executable, "-m", "licet", *arguments]
