"""A real server on a real socket, in a thread of the test process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn

from licet.os.serving import http_protocol

DEADLINE_SECONDS = 20.0
# The server's own lines reach whoever looks on, as those of Licet do.
_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {
        name: {"propagate": True} for name in ("uvicorn", "uvicorn.access", "uvicorn.error")
    },
}


class LiveServer:
    """Where a served app can be reached."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.url = f"http://{host}:{port}"

    def raw(self, request: bytes, *, until_closed: bool = True) -> bytes:
        """Send bytes as they are; answer what comes back until the server closes, or once."""
        with socket.create_connection((self.host, self.port), timeout=DEADLINE_SECONDS) as link:
            link.sendall(request)
            received = b""
            while chunk := link.recv(65536):
                received += chunk
                if not until_closed:
                    break
            return received

    def get(self, target: str, *headers: str, method: str = "GET") -> bytes:
        """A request whose target is sent exactly as given."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}:{self.port}", *headers]
        return self.raw(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode("latin-1"))


def status_of(answer: bytes) -> int:
    """The status of a raw HTTP answer."""
    return int(answer.split(b" ", 2)[1])


@contextmanager
def serve(app: Any, *, host: str = "127.0.0.1") -> Iterator[LiveServer]:
    """Serve an app until the block ends; start-up errors are raised."""
    listener = socket.socket()
    listener.bind((host, 0))
    config = uvicorn.Config(
        app,
        http=http_protocol(),
        log_config=_LOGGING,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
    )
    server = uvicorn.Server(config)

    def run() -> None:
        with suppress(SystemExit):  # how uvicorn ends when the app does not start
            server.run(sockets=[listener])

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the server did not start")
            thread.join(0.005)
        yield LiveServer(host, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(DEADLINE_SECONDS)
        listener.close()
    assert not thread.is_alive(), "the server did not stop"
