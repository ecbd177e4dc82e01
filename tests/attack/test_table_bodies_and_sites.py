"""Bodies that nobody asked for, and pages of other sites that send some."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlencode

import pytest

from licet.agent import Agent
from licet.os import AgentOS, AuditConfig
from tests.attack.forge import claims, forged
from tests.attack.target import DENIALS, VAULT, Answer, Target, Watch, target
from tests.support.live import DEADLINE_SECONDS
from tests.support.world import World

GIB, MIB = 1 << 30, 1 << 20
MOST = 8 * MIB
PIECE = b" " * 65536
NO_TOKEN = b""
FORM = b"Content-Type: application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def attacked() -> Iterator[Target]:
    with target(World()) as made:
        yield made


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    return Watch(caplog)


class Flood:
    """A request with a body of one gibibyte. ``sent_bytes`` is how much of it could be sent."""

    def __init__(self, attacked: Target, *lines: bytes, path: str, chunked: bool) -> None:
        self.sent_bytes = 0
        self._server = attacked.server
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % GIB
        first = f"POST {path} HTTP/1.1\r\nHost: {self._server.host}".encode()
        self._head = b"\r\n".join((first, FORM, *lines, length, b"", b""))
        self._piece = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE

    def __call__(self) -> Answer:
        """Wait for the answer, and then send all the same until the server closes."""
        with self._opened() as link:
            raw = link.recv(65536)
            self._send(link)
        return Answer.read(raw)

    def at_once(self) -> None:
        """Send until the server closes, whatever it says: the reset may take its answer away."""
        with self._opened() as link:
            self._send(link)

    def _opened(self) -> socket.socket:
        link = socket.socket()
        # What waits on our own side was not read by anybody.
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        link.settimeout(DEADLINE_SECONDS)
        link.connect((self._server.host, self._server.port))
        link.sendall(self._head)
        return link

    def _send(self, link: socket.socket) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            while self.sent_bytes < GIB:
                link.sendall(self._piece)
                self.sent_bytes += len(PIECE)


@pytest.mark.parametrize("chunked", ["chunked", "with its length"])
@pytest.mark.parametrize("path", [VAULT, "/agents/alpha/runs", "/sessions", "/nowhere"])
@pytest.mark.parametrize("who", ["nobody", "somebody", "somebody with a bad token"])
def test_a_gibibyte_for_a_closed_door(
    attacked: Target, watch: Watch, who: str, path: str, chunked: str
) -> None:
    token = forged(attacked.tokens, claims(scopes=["config:read"]))
    if who == "somebody with a bad token":
        token = token[:-10]
    lines = () if who == "nobody" else (b"Authorization: Bearer " + token,)
    flood = Flood(attacked, *lines, path=path, chunked=chunked == "chunked")
    reasons = {
        "nobody": {401: "Authorization header missing"},
        "somebody": {403: "Required scope(s): ", 404: "Not Found"},
        "somebody with a bad token": {401: "the signature does not match any key"},
    }[who]
    answer = watch.refused(attacked, flood, sent=token, reason=reasons, statuses=reasons)
    assert answer.headers["connection"] == "close"
    assert flood.sent_bytes < MOST


@pytest.mark.parametrize("path", ["/agents/alpha/runs", "/sessions"])
def test_a_gibibyte_for_an_open_one(attacked: Target, watch: Watch, path: str) -> None:
    token = forged(attacked.tokens, claims(scopes=["agents:run", "sessions:write"]))
    flood = Flood(attacked, b"Authorization: Bearer " + token, path=path, chunked=False)
    answer = watch.refused(
        attacked, flood, sent=token, reason="larger than 10485760 bytes", statuses={413}
    )
    assert answer.headers["connection"] == "close"
    assert flood.sent_bytes < MOST


@pytest.mark.parametrize("chunked", ["chunked", "with its length"])
def test_a_gibibyte_that_does_not_wait_for_the_answer(
    attacked: Target, caplog: pytest.LogCaptureFixture, chunked: str
) -> None:
    caplog.set_level("INFO", DENIALS)
    before = attacked.visits
    flood = Flood(attacked, path=VAULT, chunked=chunked == "chunked")
    flood.at_once()
    assert flood.sent_bytes < MOST
    assert attacked.visits == before
    (said,) = [record for record in caplog.records if record.name == DENIALS]
    assert "denied 401 POST '/vault'" in said.getMessage()


def test_a_body_for_an_open_door_is_read(attacked: Target, watch: Watch) -> None:
    token = forged(attacked.tokens, claims())
    watch.let_in(attacked, lambda: attacked.knock(token, method="POST", body=b" " * MIB))


class OpenServer(Target):
    """A server without authorization; a visit is a run of its agent."""

    @property
    def runs(self) -> int:
        """How often the model was asked."""
        return len(self.world.model.requests)


@pytest.fixture(scope="module")
def open_server() -> Iterator[OpenServer]:
    made = OpenServer(world=World())
    made.agent_os = AgentOS(
        agents=[Agent(id="alpha", model=made.world.model)],
        db=made.world.db,
        audit=AuditConfig(batch_seconds=0.00001),
    )
    with made.served():
        yield made


def form_post(attacked: OpenServer, *lines: bytes, host: bytes = b"") -> Answer:
    """What the form of a page would send, to run an agent: no preflight stands before it."""
    body = urlencode({"message": "pay mallory", "stream": "false"}).encode()
    own = f"{attacked.server.host}:{attacked.server.port}".encode()
    head = [
        b"POST /agents/alpha/runs HTTP/1.1",
        b"Host: " + (host.replace(b"PORT", b"%d" % attacked.server.port) or own),
        *(line.replace(b"PORT", b"%d" % attacked.server.port) for line in lines),
        b"Content-Length: %d" % len(body),
        *(b"Connection: close", b"", body),
    ]
    return Answer.read(attacked.server.raw(b"\r\n".join(head)))


KINDS = {
    "urlencoded": FORM,
    "multipart": b"Content-Type: multipart/form-data; boundary=x",
    "plain text": b"Content-Type: text/plain",
    "JSON": b"Content-Type: application/json",
    "none": b"Accept: */*",
}
PAGES = {
    "another site": b"https://evil.test",
    "no site": b"null",
    "a file": b"file://",
    "another port": b"http://127.0.0.1:1",
    "our name in front": b"http://127.0.0.1:PORT.evil.test",
    "our name behind": b"http://evil.test#127.0.0.1:PORT",
    "our name as its user": b"http://127.0.0.1:PORT@evil.test",
    "an extension": b"chrome-extension://abcdefghijklmnop",
    "another name of this machine": b"http://localhost:PORT",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_another_site_runs_nothing(
    open_server: OpenServer, watch: Watch, page: str, kind: str
) -> None:
    before = open_server.runs
    origin = b"Origin: " + PAGES[page]
    watch.refused(
        open_server,
        lambda: form_post(open_server, KINDS[kind], origin),
        sent=NO_TOKEN,
        reason="the request comes from a page of another origin",
        statuses={403},
    )
    assert open_server.runs == before


SITES = [b"cross-site", b"same-site", b"cross-origin", b"", b"same-origin, cross-site"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("site", SITES)
def test_a_page_that_hides_its_origin_runs_nothing(
    open_server: OpenServer, watch: Watch, site: bytes, kind: str
) -> None:
    before = open_server.runs
    fetched = b"Sec-Fetch-Site: " + site
    for more in ([], [b"Sec-Fetch-Site: same-origin"], [b"Origin: http://127.0.0.1:PORT"]):
        watch.refused(
            open_server,
            lambda m=more: form_post(open_server, KINDS[kind], fetched, *m),  # type: ignore[misc]  # bound now
            sent=NO_TOKEN,
            reason="the request comes from a page of another origin",
            statuses={403},
        )
    assert open_server.runs == before


@pytest.mark.parametrize(
    "host",
    [
        *(b"evil.test", b"evil.test:PORT", b"127.0.0.1.evil.test:PORT", b"localhost.evil.test"),
        *(b"127.0.0.1.nip.io:PORT", b"0.0.0.0:PORT", b"0:PORT", b"[::]:PORT", b"2130706434"),
        *(b"127.0.0.1@evil.test", b"evil.test#localhost", b"localhost, evil.test"),
    ],
)
def test_a_name_that_was_rebound_to_this_machine_runs_nothing(
    open_server: OpenServer, watch: Watch, host: bytes
) -> None:
    before = open_server.runs
    # The page has that very name: to the browser it is of the same origin.
    lines = (FORM, b"Origin: http://" + host, b"Sec-Fetch-Site: same-origin")
    watch.refused(
        open_server,
        lambda: form_post(open_server, *lines, host=host),
        sent=NO_TOKEN,
        reason="the Host header does not name this machine",
        statuses={400, 403},
    )
    assert open_server.runs == before


def test_two_hosts_run_nothing(open_server: OpenServer, watch: Watch) -> None:
    before = open_server.runs
    watch.refused(
        open_server,
        lambda: form_post(open_server, FORM, b"Host: evil.test"),
        sent=NO_TOKEN,
        reason="the Host header does not name this machine",
        statuses={400, 403},
    )
    assert open_server.runs == before


def test_programs_of_this_machine_and_its_own_pages_run_agents(open_server: OpenServer) -> None:
    before = open_server.runs
    assert form_post(open_server, FORM).status == 200
    assert form_post(open_server, FORM, b"Origin: http://127.0.0.1:PORT").status == 200
    local = (b"localhost:PORT", b"Origin: http://localhost:PORT")
    assert form_post(open_server, FORM, local[1], host=local[0]).status == 200
    typed, own = b"Sec-Fetch-Site: none", b"Sec-Fetch-Site: same-origin"
    assert form_post(open_server, FORM, typed).status == 200
    assert form_post(open_server, FORM, b"Origin: http://127.0.0.1:PORT", own).status == 200
    assert open_server.runs == before + 5
