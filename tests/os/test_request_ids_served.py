"""Every answer of the server has the id of its request; so have the runs that it starts."""

from __future__ import annotations

import logging
import re
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import Any

import httpx
import pytest
import websockets.sync.client as ws
from fastapi import FastAPI, WebSocket
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from websockets.exceptions import InvalidStatus

from licet.agent import Agent
from licet.context import RunContext
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS, Settings
from licet.os.middleware.request_id import REQUEST_ID_KEY
from licet.os.table import Entry
from licet.request_id import REQUEST_ID, RequestIdFilter
from licet.testing import CallTools, ScriptedModel
from tests.os import test_matrix as matrix
from tests.support.live import LiveServer, serve
from tests.support.world import CLIENT_ID, ISSUER, OWNER, World

RANDOM = re.compile(r"[0-9a-f]{32}")
CHAT = "https://chat.test"


def fresh() -> dict[str, str]:
    """The header of a request that nobody has sent before."""
    return {"X-Request-ID": str(uuid.uuid4())}


def assert_named(answer: httpx.Response) -> None:
    sent = answer.request.headers.get_list("x-request-id")
    assert answer.headers.get_list("x-request-id") == sent
    assert len(sent) == 1


# The routes and how to call them are those of the matrix; the world is one of its own.
WORLD = World(tokens=matrix.TOKENS)
AGENT_OS = WORLD.agent_os(config={"issuer": ISSUER, "oidc_client_id": CLIENT_ID})
ENTRIES = list(AGENT_OS.route_table().entries())
WITH_BODY = [
    entry
    for entry in ENTRIES
    if {"data", "json"} & set(matrix.sent(matrix.RECIPES[matrix.name(entry)]))
]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with serve(AGENT_OS.get_app()) as live:
        yield live


@pytest.fixture
def objects() -> Mapping[str, str]:
    WORLD.seed()
    account, revocation = WORLD.seed_trust()
    mine = {"service_account_id": account, "revocation_id": revocation}
    return defaultdict(lambda: "none", {**matrix.OBJECTS, **mine})


class TestEveryRoute:
    @matrix.each(ENTRIES)
    def test_names_its_answer(
        self, server: LiveServer, entry: Entry, objects: Mapping[str, str]
    ) -> None:
        recipe = matrix.RECIPES[matrix.name(entry)]
        url = server.url + entry.template.format_map(objects)
        public = matrix.rule_of(entry).public
        admin, method = WORLD.admin(), entry.methods[0]

        def ask(how: str, at: str, headers: dict[str, str], **send: Any) -> int:
            answer = httpx.request(how, at, headers={**fresh(), **headers}, timeout=20, **send)
            assert_named(answer)
            return answer.status_code

        asked = matrix.sent(recipe)
        assert ask("PATCH" if method != "PATCH" else "PUT", url, {}) == (405 if public else 401)
        assert ask("TRACE", url, admin) == 405
        assert ask("OPTIONS", url, admin) == 405
        assert ask(method, f"{server.url}/not/here{entry.template}", admin) == 404
        if not public:
            assert ask(method, url, {}, **asked) == 401
            assert ask(method, url, {"Authorization": "Bearer junk"}, **asked) == 401
            assert ask(method, url, WORLD.bearer(OWNER), **asked) == 403
        if method == "GET":
            assert ask("HEAD", url, admin, **asked) in {200, 404}
        # Nothing outlives this process, as schedules have to.
        assert ask(method, url, admin, **asked) < (504 if recipe.asks_for_more else 500)

    @matrix.each(WITH_BODY)
    def test_names_its_answer_to_what_it_cannot_read(
        self, server: LiveServer, entry: Entry, objects: Mapping[str, str]
    ) -> None:
        headers = {**fresh(), **WORLD.admin(), "Content-Type": "application/json"}
        url = server.url + entry.template.format_map(objects)
        answer = httpx.request(entry.methods[0], url, headers=headers, content=b'{"a":', timeout=20)
        # OpenID Connect Back-Channel Logout 1.0 §2.8 asks for 400.
        assert answer.status_code == (400 if "logout" in entry.template else 422)
        assert_named(answer)


def mine() -> FastAPI:
    """Routes of one's own, which answer in ways that Licet's do not."""
    app = FastAPI()

    @app.get("/own")
    async def own() -> Response:
        return PlainTextResponse("", headers={"X-Request-ID": "the app's own"})

    @app.get("/breaks")
    async def breaks() -> Response:
        raise ZeroDivisionError("secret detail")

    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept(headers=[(b"X-Request-Id", b"the app's own")])
        await websocket.send_text(str(websocket.scope[REQUEST_ID_KEY]))
        await websocket.close()

    async def raw(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"X-Request-ID", b"1"), (b"x-request-id", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    app.mount("/raw", raw)
    return app


@pytest.fixture(scope="module")
def own() -> Iterator[LiveServer]:
    agent_os = WORLD.agent_os(
        config={
            "public_paths": ["/own", "/breaks", "/raw"],
            "scope_mappings": {"WEBSOCKET /live": []},
        },
        base_app=mine(),
        cors_allowed_origins=[CHAT],
        settings=Settings(max_body_bytes=100),
    )
    with serve(agent_os.get_app()) as live:
        yield live


@pytest.fixture
def errors() -> Iterator[SimpleQueue[logging.LogRecord]]:
    """What the server logs of apps that fail, which it does after the answer."""
    lines: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handler = QueueHandler(lines)
    handler.addFilter(RequestIdFilter())
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


class TestEveryKindOfAnswer:
    @pytest.mark.parametrize("path", ["/own", "/raw"])
    def test_an_app_that_names_requests_itself(self, own: LiveServer, path: str) -> None:
        answer = httpx.get(own.url + path, headers=fresh())
        assert answer.status_code == 200
        assert_named(answer)

    def test_an_unforeseen_error(
        self, own: LiveServer, errors: SimpleQueue[logging.LogRecord]
    ) -> None:
        answer = httpx.get(f"{own.url}/breaks", headers=fresh())
        assert answer.status_code == 500
        assert_named(answer)
        line = errors.get(timeout=20)
        assert "Exception in ASGI" in line.message
        assert line.__dict__["request_id"] == answer.headers["x-request-id"]

    def test_a_body_that_is_too_large(self, own: LiveServer) -> None:
        headers = {**fresh(), **WORLD.admin()}
        answer = httpx.post(f"{own.url}/sessions", headers=headers, content=b"x" * 101)
        assert answer.status_code == 413
        assert_named(answer)

    def test_pages_of_allowed_origins_may_send_and_read_it(self, own: LiveServer) -> None:
        preflight = {
            "Origin": CHAT,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "x-request-id",
        }
        answer = httpx.options(f"{own.url}/agents", headers={**preflight, **fresh()})
        assert answer.status_code == 200
        assert "x-request-id" in answer.headers["access-control-allow-headers"]
        assert_named(answer)
        for headers in ({}, WORLD.admin()):
            answer = httpx.get(f"{own.url}/agents", headers={"Origin": CHAT, **headers, **fresh()})
            assert answer.headers["access-control-expose-headers"] == "*"
            assert_named(answer)

    def test_a_handshake_that_is_accepted(self, own: LiveServer) -> None:
        headers = {**fresh(), **WORLD.bearer(OWNER)}
        address = f"ws://{own.host}:{own.port}/live"
        with ws.connect(address, additional_headers=headers) as link:
            assert link.recv(timeout=20) == headers["X-Request-ID"]
            assert link.response is not None
            found = link.response.headers.get_all("x-request-id")
        assert found == [headers["X-Request-ID"]]

    def test_a_handshake_that_is_refused(self, own: LiveServer) -> None:
        headers = fresh()
        with pytest.raises(InvalidStatus) as refused:
            ws.connect(f"ws://{own.host}:{own.port}/live", additional_headers=headers)
        assert refused.value.response.status_code == 401
        found = refused.value.response.headers.get_all("x-request-id")
        assert found == [headers["X-Request-ID"]]

    def test_two_ids_on_the_wire(self, own: LiveServer) -> None:
        answer = own.get("/health", "X-Request-ID: a", "x-request-id: b")
        (found,) = re.findall(rb"(?im)^x-request-id: (.*)\r$", answer)
        assert RANDOM.fullmatch(found.decode())

    def test_requests_of_one_connection_have_their_own(self, own: LiveServer) -> None:
        request = "GET /health HTTP/1.1\r\nHost: x\r\n"
        named = [f"{request}X-Request-ID: r-{number}\r\n" for number in range(3)]
        together = "\r\n".join([*named, f"{request}Connection: close\r\n", ""])
        found = re.findall(rb"(?im)^x-request-id: (.*)\r$", own.raw(together.encode()))
        assert found[:3] == [b"r-0", b"r-1", b"r-2"]
        assert RANDOM.fullmatch(found[3].decode())
        assert len(found) == 4


def test_the_open_server_names_requests_and_refusals_too() -> None:
    agent_os = AgentOS(agents=[Agent(id="a", model=ScriptedModel([]))], db=InMemoryDb())
    with serve(agent_os.get_app()) as live:
        for headers, status in (({}, 200), ({"Host": "evil.test"}, 403)):
            answer = httpx.get(f"{live.url}/agents", headers={**headers, **fresh()})
            assert answer.status_code == status
            assert_named(answer)


async def in_task(context: RunContext) -> str:
    """Tell the id, in the run's own task."""
    return f"{context.request_id} {REQUEST_ID.get()}"


def in_thread(context: RunContext) -> str:
    """Tell the id, in a thread."""
    return f"{context.request_id} {REQUEST_ID.get()}"


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    world = World()
    model = ScriptedModel([CallTools(("in_task", {}), ("in_thread", {})), "done"])
    world.agents = [Agent(id="alpha", model=model, db=world.db, tools=[in_task, in_thread])]
    headers = world.bearer(OWNER, "agents:run", "sessions:read")
    with (
        serve(world.agent_os().get_app()) as live,
        httpx.Client(base_url=live.url, headers=headers, timeout=20) as made,
    ):
        yield made


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_run_its_tools_and_its_row_have_the_id(client: httpx.Client, stream: str) -> None:
    headers = fresh()
    request_id = headers["X-Request-ID"]
    form = {"message": "hi", "stream": stream, "session_id": f"stream-{stream}"}
    answer = client.post("/agents/alpha/runs", data=form, headers=headers)
    assert_named(answer)
    if stream == "false":
        assert answer.json()["request_id"] == request_id
    path = f"/sessions/stream-{stream}/runs"
    (listed,) = client.get(path, headers=fresh()).json()
    params = {"session_id": f"stream-{stream}"}
    for run in (
        listed,
        client.get(f"{path}/{listed['run_id']}").json(),
        client.get(f"/agents/alpha/runs/{listed['run_id']}", params=params).json(),
        *client.get("/agents/alpha/runs", params=params).json(),
    ):
        assert run["request_id"] == request_id
        assert [tool["result"] for tool in run["tools"]] == [f"{request_id} {request_id}"] * 2


async def test_a_run_of_a_script_has_none() -> None:
    output = await Agent(id="a", model=ScriptedModel(["ok"])).arun("hi")
    assert output.request_id is None
    assert b"request_id" not in output.to_json()
