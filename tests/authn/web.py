"""A web server on loopback whose answers a test decides, request by request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(kw_only=True)
class Page:
    """An answer.

    ``held``: it comes when this is set; ``chunked``: its length is not announced; ``dated``: it
    says when it was given.
    """

    body: bytes = b"{}"
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    held: threading.Event | None = None
    chunked: bool = False
    dated: bool = True


class Web:
    """Pages by path, and the requests that came: path and headers in lower case."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(1 for asked, _ in self.requests if asked == path)


@contextmanager
def web() -> Iterator[Web]:
    """A server until the block ends."""
    served: list[Web] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site = served[0]
            site.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            page = site.pages.get(self.path, Page(status=404))
            if page.held is not None:
                page.held.wait(20)
            try:
                self.answer(page)
            except OSError:
                self.close_connection = True

        def answer(self, page: Page) -> None:
            (self.send_response if page.dated else self.send_response_only)(page.status)
            for name, value in page.headers:
                self.send_header(name, value)
            if page.chunked:
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(page.body), page.body))
                return
            self.send_header("content-length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.append(Web(server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield served[0]
    finally:
        for page in served[0].pages.values():
            if page.held is not None:
                page.held.set()
        server.shutdown()
        thread.join()
        server.server_close()
