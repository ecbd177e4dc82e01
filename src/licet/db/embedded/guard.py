"""The guard of an embedded server: starts it, and stops it when nobody uses it any more.

Run as a script, with the standard library alone, in a process of its own. Every process that uses
the server holds a shared lock, which the kernel takes back however that process ends. The guard
waits for the exclusive one: it gets it when the last user is gone, ``kill -9`` included.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


def main() -> None:
    """Read what to start from standard input; exit with 0 once the server takes connections."""
    order = json.load(sys.stdin)
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        os._exit(0 if os.read(reading, 1) == b"1" else 1)
    os.close(reading)
    os.setsid()
    os.chdir("/")
    with Path(os.devnull).open("r+b") as nothing:
        for stream in (0, 1, 2):
            os.dup2(nothing.fileno(), stream)
    server = _start(order)
    ready = _wait_until_ready(server, Path(order["pid_file"]))
    os.write(writing, b"1" if ready else b"0")
    os.close(writing)
    if ready:
        _end_with(server)
        lock = os.open(order["users"], os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    # The lock is kept until the server is down: who comes now waits, and starts it anew.
    _stop(server)


def _start(order: dict[str, Any]) -> subprocess.Popen[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    log = os.open(order["log"], flags, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - the order comes from licet alone
            order["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=order["environment"],
            umask=0o077,
            user=order["uid"],
            group=order["gid"],
            extra_groups=None if order["uid"] is None else [],
            start_new_session=True,
        )
    finally:
        os.close(log)


def _wait_until_ready(server: subprocess.Popen[bytes], pid_file: Path) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        # The last line of the file is the server's state: pg_ctl waits for the same word.
        try:
            lines = pid_file.read_text().split("\n")
        except OSError:
            lines = []
        if lines[0:1] == [str(server.pid)] and any(line.strip() == "ready" for line in lines[7:8]):
            return True
        time.sleep(0.01)
    return False


def _end_with(server: subprocess.Popen[bytes]) -> None:
    """End when the server ends: one that crashed and was not reaped would pass for alive."""

    def look(*_: object) -> None:
        if server.poll() is not None:
            os._exit(0)

    signal.signal(signal.SIGCHLD, look)
    look()


def _stop(server: subprocess.Popen[bytes]) -> None:
    # SIGINT ends open transactions and shuts down in order; SIGQUIT leaves recovery to the next
    # start.
    for how in (signal.SIGINT, signal.SIGQUIT):
        if server.poll() is None:
            server.send_signal(how)
            try:
                server.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue


if __name__ == "__main__":
    main()
