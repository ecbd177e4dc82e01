"""Search engines on loopback: a proxy that answers for every host, with real TLS and HTML."""

from __future__ import annotations

import contextlib
import html
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Engine:
    """A CONNECT proxy whose every host is a search engine with ``results`` results.

    ``hosts`` and ``queries`` are what was asked for, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.results = 60
        self.hosts: list[str] = []
        self.queries: list[dict[str, list[str]]] = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(_self_signed(folder))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # close() alone does not wake a thread that waits in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=10)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # a client that refuses the certificate
            connection.settimeout(10)
            host = _head(connection).split()[1].rpartition(":")[0]
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with self._tls.wrap_socket(connection, server_side=True) as secure:
                query = parse_qs(urlsplit(_head(secure).split()[1]).query)
                self.hosts.append(host)
                self.queries.append(query)
                body = self._page(host, query["q"][0]).encode()
                head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
                head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                secure.sendall(head.encode() + body)

    def _page(self, host: str, query: str) -> str:
        asked = html.escape(query)
        numbers = range(1, self.results + 1)
        if host == "www.bing.com":
            items = [
                f'<div class="newsitem" data-title="{asked}: result {number}" data-author="Times" '
                f'url="https://example.org/{number}">'
                f'<div class="snippet">About {asked}.</div></div>'
                for number in numbers
            ]
            return "<html><body>" + "".join(items) + "</body></html>"
        items = [
            f'<li><h2><a href="https://example.org/{number}">{asked}: result {number}</a></h2>'
            f'<p class="s">About {asked}, number {number}.</p></li>'
            for number in numbers
        ]
        return f'<html><body><ul class="results">{"".join(items)}</ul></body></html>'


def _head(connection: socket.socket) -> str:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError
        received += piece
    return received.decode()


def _self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "engine.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
