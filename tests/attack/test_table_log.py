"""All that a serving process prints: however a token was sent, nothing of it can be read there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from licet.testing import TokenFactory
from tests.attack.forge import claims, forged
from tests.support.process import Process, free_port, licet, running

TOKENS = TokenFactory()
DEADLINE_SECONDS = 20.0

PROGRAM = '''
import logging
import sys

import uvicorn
from fastapi import FastAPI, WebSocket

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS, AuthorizationConfig, TokenSource
from licet.testing import Say, ScriptedModel

{set_up}
mine = FastAPI()


@mine.websocket("/live")
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("the treasure")
    await websocket.close()


db = InMemoryDb()
agent_os = AgentOS(
    id="test-os",
    agents=[Agent(id="alpha", model=ScriptedModel([Say("hi")]), db=db)],
    db=db,
    base_app=mine,
    authorization=True,
    authorization_config=AuthorizationConfig(
        verification_keys=["""{key}"""],
        scope_mappings={{"WEBSOCKET /live": ["vault:open"]}},
        token_source=TokenSource.BOTH,
    ),
)
app = agent_os.get_app()

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, proxy_headers=False)
'''
OWN_LOGGING = 'logging.basicConfig(level=logging.{level}, format="own: %(message)s")'


def requests(token: bytes) -> dict[str, tuple[bytes, ...]]:
    """Lines of requests that bring the token in every place that there is."""
    upgrade = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    handshake = (*upgrade, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    bearer = b"Authorization: Bearer " + token
    encoded = quote(token).encode()
    return {
        "a header": (b"GET /agents HTTP/1.1", bearer),
        "a header, too weak": (b"GET /config HTTP/1.1", bearer),
        "a header, cut off": (b"GET /agents HTTP/1.1", bearer[:-10]),
        "a header that is too large": (b"GET /agents HTTP/1.1", bearer + b"x" * 70_000),
        "a header that is folded": (b"GET /agents HTTP/1.1", b"Authorization: Bearer\r\n " + token),
        "another scheme": (b"GET /agents HTTP/1.1", b"Authorization: Basic " + token),
        "no scheme": (b"GET /agents HTTP/1.1", b"Authorization: " + token),
        "two headers": (b"GET /agents HTTP/1.1", bearer, bearer),
        "a header of another name": (b"GET /agents HTTP/1.1", b"X-Token: " + token),
        "the name of a header": (b"GET /agents HTTP/1.1", token + b": x"),
        "a header with a NUL": (b"GET /agents HTTP/1.1", bearer + b"\0"),
        "a method": (token + b" /agents HTTP/1.1",),
        "a version": (b"GET /agents HTTP/" + token,),
        "a host": (b"GET http://" + token + b"/agents HTTP/1.1",),
        "a user": (b"GET http://" + token + b"@127.0.0.1/agents HTTP/1.1",),
        "a cookie": (b"GET /agents HTTP/1.1", b"Cookie: access_token=" + token),
        "a cookie of another site": (
            b"DELETE /sessions HTTP/1.1",
            b"Cookie: access_token=" + token,
            b"Origin: https://evil.test",
        ),
        "a query": (b"GET /agents?access_token=" + token + b" HTTP/1.1",),
        "a query, allowed": (b"GET /agents?access_token=" + token + b" HTTP/1.1", bearer),
        "a query, encoded": (b"GET /agents?access_token=" + encoded + b" HTTP/1.1",),
        "a query of a public page": (b"GET /health?token=" + token + b" HTTP/1.1",),
        "a query of no page": (b"GET /nowhere?token=" + token + b" HTTP/1.1",),
        "a bare query": (b"GET /agents?" + token + b" HTTP/1.1",),
        "a query after a query": (b"GET /agents??a=b?" + token + b" HTTP/1.1",),
        "a query, redirected": (b"GET /agents/?" + token + b" HTTP/1.1",),
        "a query that is absolute": (b"GET http://127.0.0.1/agents?" + token + b" HTTP/1.1",),
        "a fragment": (b"GET /agents#" + token + b" HTTP/1.1",),
        "a query of a method that is none": (b"PURGE /agents?" + token + b" HTTP/1.1",),
        "a query of everything": (b"OPTIONS *?" + token + b" HTTP/1.1",),
        "a body": (
            b"POST /agents/alpha/runs HTTP/1.1",
            b"Content-Type: application/x-www-form-urlencoded",
            b"Content-Length: %d\r\n\r\nmessage=%b" % (len(token) + 8, token),
        ),
        "a handshake": (b"GET /live HTTP/1.1", *handshake, bearer),
        "a handshake, cut off": (b"GET /live HTTP/1.1", *handshake, bearer[:-10]),
        "a handshake's query": (b"GET /live?access_token=" + token + b" HTTP/1.1", *handshake),
        "an opened handshake's query": (
            b"GET /live?access_token=" + token + b" HTTP/1.1",
            *handshake,
            bearer,
        ),
        "a handshake's protocol": (
            b"GET /live HTTP/1.1",
            *handshake,
            b"Sec-WebSocket-Protocol: bearer, " + token,
        ),
        "a handshake's key": (b"GET /live HTTP/1.1", *upgrade, b"Sec-WebSocket-Key: " + token),
    }


PLACES = tuple(requests(b""))


def started(way: str, folder: Path, port: int) -> tuple[str, list[str]]:
    """What the program does about logging, and how it is served."""
    by_licet = licet("serve", "program:app", "--port", str(port))
    by_itself = [by_licet[0], str(folder / "program.py"), str(port)]
    return {
        "as it comes": ("", by_licet),
        "in two workers": ("", [*by_licet, "--workers", "2"]),
        "with logging of its own": (OWN_LOGGING.format(level="INFO"), by_licet),
        "by itself": (OWN_LOGGING.format(level="INFO"), by_itself),
        "by itself, telling all": (OWN_LOGGING.format(level="DEBUG"), by_itself),
    }[way]


@pytest.fixture(
    params=[
        *("as it comes", "in two workers", "with logging of its own"),
        *("by itself", "by itself, telling all"),
    ]
)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Process, int]]:
    port = free_port()
    set_up, command = started(request.param, tmp_path, port)
    text = PROGRAM.format(set_up=set_up, key=TOKENS.public_key)
    (tmp_path / "program.py").write_text(text)
    with running(command, cwd=tmp_path) as process:
        process.wait_until_serving(f"http://127.0.0.1:{port}/health")
        yield process, port


def sent(port: int, *lines: bytes) -> bytes:
    """What came back, until the server closed or the handshake was over."""
    host = b"Host: 127.0.0.1:%d" % port
    request = b"\r\n".join((lines[0], host, *lines[1:]))
    if b"Connection:" not in request:
        request = request.replace(host, host + b"\r\nConnection: close")
    with socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS) as link:
        link.sendall(request + b"\r\n\r\n")
        received = b""
        while chunk := link.recv(65536):
            received += chunk
            if b"treasure" in received:
                break
    return received


def pieces(token: bytes) -> list[str]:
    """Any twelve characters in a row of what is the token's own."""
    _, payload, signature = token.decode().split(".")
    return [
        part[at : at + 12] for part in (payload[40:], signature) for at in range(len(part) - 11)
    ]


# The lines of requests, and what is to be read of them.
HANDSHAKE = requests(b"")["a handshake's protocol"][1:5]
WRITTEN: dict[tuple[bytes, ...], str] = {
    (b"GET /agents?a=b HTTP/1.1",): '"GET /agents HTTP/1.1" 401',
    (b"GET /health?a=b HTTP/1.1",): '"GET /health HTTP/1.1" 200',
    (b"GET /a%3Fb?a=b HTTP/1.1",): '"GET /a%3Fb HTTP/1.1" 401',
    (b"GET /live?a=b HTTP/1.1", *HANDSHAKE): '"WebSocket /live" 401',
}


def test_nothing_of_a_token_is_printed(served: tuple[Process, int]) -> None:
    process, port = served
    made: dict[str, bytes] = {}
    answers: dict[str, bytes] = {}
    for place in PLACES:
        made[place] = forged(TOKENS, claims(jti=place, scopes=["agents:read", "vault:open"]))
        answers[place] = sent(port, *requests(made[place])[place])
    assert b" 200 " in answers["a header"]
    assert b" 200 " in answers["a query, allowed"]
    assert b"treasure" in answers["an opened handshake's query"]
    assert not any(b" 500 " in answer[:20] for answer in answers.values())
    for request, line in WRITTEN.items():
        sent(port, *request)
        process.wait_for(lambda line=line: line in process.output, what=line)  # type: ignore[misc]  # bound now
    told = [piece for token in made.values() for piece in pieces(token)]
    lines = process.output.splitlines()
    assert [line for line in lines if "a=b" in line or any(piece in line for piece in told)] == []


def test_a_piece_that_was_printed_would_be_found() -> None:
    token = forged(TOKENS, claims())
    line = f"GET /agents?t={token.decode()[:-300]} HTTP/1.1"
    assert any(piece in line for piece in pieces(token))
    assert not any(piece in token.decode()[:50] for piece in pieces(token))
