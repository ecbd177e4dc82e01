"""What is attacked: a server with a vault that counts its visitors, and one check of a refusal."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI, Request, WebSocket
from starlette.responses import PlainTextResponse, Response

from licet.agent import Agent
from licet.audit.event import EventKind
from licet.db.audit_records import AuditRecord
from licet.os import AgentOS, AuditConfig, AuthorizationConfig, Settings
from licet.telemetry import Telemetry
from licet.testing import TokenFactory
from tests.attack.forge import claims, forged
from tests.support.live import DEADLINE_SECONDS, LiveServer, serve
from tests.support.world import OS_ID, World

VAULT, LIVE = "/vault", "/vault/live"
SCOPE = "vault:open"
TREASURE = b"the treasure"
HANDSHAKE = (
    *(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
UNAUTHORIZED = frozenset((401,))
DENIALS = "licet.os.denial"
# Uvicorn's own: a line for each request, and what it says of requests that it cannot read.
ACCESS, PARSER = "uvicorn.access", "uvicorn.error"
_SEGMENT = re.compile(rb"[^\s.,;=:\"]{12,}")
# Uvicorn's word on each handshake that is answered as HTTP; there is nothing wrong with those.
_ANSWERED_HANDSHAKE = "ASGI callable returned without completing handshake."
# Whose line alone says that there was an answer: the parser refused, or the router had nothing.
_NOT_DENIED = frozenset((ACCESS, PARSER))
# What the server's HTTP parser answers itself: no request has come to be.
_UNPARSED = b"Invalid HTTP request received."


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``headers`` have names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def read(cls, raw: bytes) -> Answer:
        """From what the socket gave."""
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        return cls(int(first.split(" ")[1]), headers, body)


@dataclass(kw_only=True)
class Target:
    """A served AgentOS, with a vault beside its own routes that counts who got in."""

    world: World
    server: LiveServer = field(init=False)
    agent_os: AgentOS = field(init=False)
    # Of whoever looks into the trail: a loop for each look would cost more than the attack.
    loop: asyncio.Runner = field(init=False)
    visits: int = 0

    @property
    def tokens(self) -> TokenFactory:
        """The auth server that the target trusts."""
        return self.world.tokens

    def app(self) -> FastAPI:
        """The app that has the vault."""
        app = FastAPI()

        async def vault(request: Request) -> Response:
            self.visits += 1
            await request.body()
            return PlainTextResponse(TREASURE)

        async def live(websocket: WebSocket) -> None:
            self.visits += 1
            await websocket.accept()
            await websocket.send_text(TREASURE.decode())
            await websocket.close()

        app.add_route(VAULT, vault, methods=list(METHODS))
        app.websocket(LIVE)(live)
        return app

    @contextmanager
    def served(self) -> Iterator[None]:
        """Serve it until the block ends."""
        with asyncio.Runner() as self.loop, serve(self.agent_os.get_app()) as self.server:
            yield

    def recorded(self) -> int:
        """How many decisions are in the audit trail, when nothing waits to be written any more."""
        (recorder,) = self.agent_os.auditing._recorders
        deadline = time.monotonic() + DEADLINE_SECONDS
        while recorder.waiting:
            assert time.monotonic() < deadline, "a record is never written"
            time.sleep(0.0001)
        # Of this server: another one may write into the same database.
        sink: Any = recorder._sink
        seq: int = sink._seq
        return seq

    def last_decision(self) -> AuditRecord | None:
        """The latest record of the audit trail, as the database has it."""
        seq, (recorder,) = self.recorded(), self.agent_os.auditing._recorders
        sink: Any = recorder._sink
        audit = self.agent_os.db.audit()
        found = self.loop.run(audit.records_of(sink._writer.id, after_seq=seq - 1, limit=1))
        return found[0] if found else None

    def ask(
        self,
        *lines: bytes,
        method: str = "GET",
        path: str = VAULT,
        body: bytes = b"",
        via: str = "",
    ) -> Answer:
        """One request, whose header lines are sent as they are. ``via``: from which address."""
        length = b"Content-Length: %d" % len(body) if body else b""
        host = f"Host: {self.server.host}:{self.server.port}".encode()
        head = [f"{method} {path} HTTP/1.1".encode("latin-1"), host, *lines, length]
        request = b"\r\n".join([line for line in head if line] + [b"Connection: close", b"", body])
        return Answer.read(self._sent(request, via))

    def knock(self, token: bytes | str, **how: Any) -> Answer:
        """A request to the vault with a bearer token."""
        return self.ask(b"Authorization: Bearer " + _bytes(token), **how)

    def shake(self, *lines: bytes, path: str = LIVE) -> Answer:
        """A WebSocket handshake; what an open socket brings is answered as if asked for."""
        host = f"Host: {self.server.host}:{self.server.port}".encode()
        head = [f"GET {path} HTTP/1.1".encode("latin-1"), host, *HANDSHAKE, *lines]
        raw = self._sent(b"\r\n".join([*head, b"", b""]), until=TREASURE)
        if not raw.startswith(b"HTTP/1.1 101 "):
            return Answer.read(raw)
        _, _, frames = raw.partition(b"\r\n\r\n")
        # RFC 6455 §5.2: a small text is preceded by two bytes, of which one is its length.
        return Answer(200, {}, frames[2 : 2 + frames[1]])

    def _sent(self, request: bytes, via: str = "", *, until: bytes | None = None) -> bytes:
        address = (self.server.host, self.server.port)
        source = (via, 0) if via else None
        with socket.create_connection(address, DEADLINE_SECONDS, source) as link:
            link.sendall(request)
            received = b""
            while chunk := link.recv(65536):
                received += chunk
                if until is not None and until in received:
                    break
        return received


@contextmanager
def target(world: World | None = None, /, **config: Any) -> Iterator[Target]:
    """A served target; ``config`` is that of its authorization, with the world's key at least."""
    made = Target(world=world or World())
    keys = {"verification_keys": [made.tokens.public_key]}
    opened = {"scope_mappings": {f"* {VAULT}": [SCOPE], f"WEBSOCKET {LIVE}": [SCOPE]}}
    own = config.keys() & {"verification_keys", "jwks_file", "issuers"}
    model, db = made.world.model, made.world.db
    made.agent_os = AgentOS(
        id=OS_ID,
        agents=[Agent(id=name, model=model, db=db) for name in ("alpha", "beta")],
        db=db,
        base_app=made.app(),
        authorization=True,
        authorization_config=AuthorizationConfig(**{**({} if own else keys), **opened, **config}),
        # A table of attacks comes from one address.
        settings=Settings(max_failed_authentications=1_000_000),
        audit=AuditConfig(batch_seconds=0.00001),
        # Whoever looks on sees no more than anybody may, and changes no answer.
        telemetry=Telemetry(),
    )
    with made.served():
        yield made


def good_token(tokens: TokenFactory, **changed: Any) -> str:
    """A token that opens the vault, as an auth server makes it."""
    return forged(tokens, claims(**changed)).decode()


class Watch:
    """Looks on while somebody attacks: what was let in, and what the server's log says.

    ``secrets`` are what must never be read anywhere, besides the tokens that are sent.
    """

    def __init__(self, caplog: pytest.LogCaptureFixture, secrets: Sequence[bytes] = ()) -> None:
        self._caplog = caplog
        self._secrets = tuple(secrets)
        caplog.set_level(logging.DEBUG, "licet")
        for name in (ACCESS, PARSER):
            caplog.set_level(logging.DEBUG, name)

    def refused(
        self,
        attacked: Target,
        attack: Callable[[], Answer],
        *,
        reason: str | Mapping[int, str],
        sent: bytes | str,
        statuses: Collection[int] = UNAUTHORIZED,
        logger: str = DENIALS,
    ) -> Answer:
        """Attack, and see to it that it was refused, for this reason, and in the right manner.

        ``reason`` may tell that of each status. ``sent`` is the token (or whatever holds it), of
        which nothing may be seen again; ``logger`` the one that says why, on one line.
        """
        self._caplog.clear()
        visits, before = attacked.visits, attacked.recorded()
        answer = attack()
        assert answer.status in statuses, (answer.status, answer.body)
        assert attacked.visits == visits, "the vault was visited"
        assert TREASURE not in answer.body
        if answer.status == 401:  # RFC 6750 §3
            assert answer.headers["www-authenticate"].startswith("Bearer")
        if answer.body == _UNPARSED:
            # Nothing more is known of it, and nothing more is said.
            logger, reason = PARSER, _UNPARSED.decode()
        self._check_log(
            answer, reason if isinstance(reason, str) else reason[answer.status], logger
        )
        record = self._check_trail(attacked, before, answer, decided=logger not in _NOT_DENIED)
        seen = (self._caplog.text + repr(answer) + repr(record)).encode("utf-8", "replace")
        for secret in (*self._secrets, *_SEGMENT.findall(_bytes(sent))):
            assert secret not in seen, "something of the token can be read"
        return answer

    def let_in(self, attacked: Target, request: Callable[[], Answer]) -> Answer:
        """The positive control: the same, done rightly, gets in."""
        visits = attacked.visits
        answer = request()
        assert answer.status == 200, (answer.status, answer.body)
        assert (attacked.visits, answer.body) == (visits + 1, TREASURE)
        return answer

    def _check_trail(
        self, attacked: Target, before: int, answer: Answer, *, decided: bool
    ) -> AuditRecord | None:
        """One record says that it was refused; none, where nobody decided anything."""
        if not decided:
            assert attacked.recorded() == before
            return None
        record = attacked.last_decision()
        assert record is not None
        # Who asks to pass on more than they hold was let in before; that is a record of its own.
        records = 2 if record.kind == EventKind.GRANT else 1
        assert record.seq == before + records, "not one record"
        # Who sends too much may send: it is the body that is refused, afterwards.
        expected = ("allow", None) if answer.status == 413 else ("deny", answer.status)
        assert (record.decision, record.status) == expected
        assert record.reason
        return record

    def _check_log(self, answer: Answer, reason: str, logger: str) -> None:
        assert reason, "a row has to say why it is refused"
        records = self._caplog.records
        told = [record for record in records if record.levelno >= logging.INFO]
        (said,) = [record for record in told if record.name in {DENIALS, logger}]
        assert reason in said.getMessage()
        if logger == DENIALS:
            assert said.levelno == logging.INFO
            assert said.getMessage().startswith(f"denied {answer.status} ")
        errors = [record.getMessage() for record in records if record.levelno >= logging.ERROR]
        assert set(errors) <= {_ANSWERED_HANDSHAKE}


def pieces_of(key: str | bytes) -> list[bytes]:
    """The lines of a PEM, of which none may be seen; a secret as a whole."""
    return [line for line in _bytes(key).split(b"\n") if line and not line.startswith(b"-----")]


def detail(answer: Answer) -> str:
    """What a refusal says."""
    return str(json.loads(answer.body)["detail"])


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text
