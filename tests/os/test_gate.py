"""Whatever way a route comes into the app, it is closed until something opens it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.sync.client as ws
from fastapi import APIRouter, FastAPI, Request, WebSocket
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from websockets.exceptions import InvalidStatus

from licet.audit.event import EventKind
from licet.errors import ConfigurationError
from licet.os import AuditConfig
from tests.audit.events import ListSink
from tests.support.live import LiveServer, serve, status_of
from tests.support.routes import ForgingRoute
from tests.support.world import FAMILIES, OWNER, World

EVERYTHING_BUT_ADMIN = tuple(
    f"{family}:{action}" for family in FAMILIES for action in ("read", "run", "write", "delete")
)


class Visits:
    """Remembers that an endpoint ran."""

    def __init__(self) -> None:
        self.count = 0

    async def api(self) -> dict[str, int]:
        self.count += 1
        return {"visits": self.count}

    async def plain(self, _request: Request) -> Response:
        self.count += 1
        return PlainTextResponse("visited")

    async def socket(self, websocket: WebSocket) -> None:
        self.count += 1
        await websocket.accept()
        await websocket.send_text("visited")
        await websocket.close()


def add_by_decorator(app: FastAPI, visits: Visits, folder: Path) -> str:
    app.get("/mine")(visits.api)
    return "/mine"


def add_api_route(app: FastAPI, visits: Visits, folder: Path) -> str:
    app.add_api_route("/mine/{part}", visits.api)
    return "/mine/x"


def add_starlette_route(app: FastAPI, visits: Visits, folder: Path) -> str:
    app.add_route("/mine", visits.plain)
    return "/mine"


def include_router(app: FastAPI, visits: Visits, folder: Path) -> str:
    router = APIRouter(prefix="/inner")
    router.get("/mine")(visits.api)
    app.include_router(router, prefix="/outer")
    return "/outer/inner/mine"


def include_nested_routers(app: FastAPI, visits: Visits, folder: Path) -> str:
    innermost, middle = APIRouter(), APIRouter(prefix="/middle")
    innermost.add_route("/plain", visits.plain)
    middle.include_router(innermost, prefix="/innermost")
    app.include_router(middle)
    return "/middle/innermost/plain"


def add_to_an_included_router_afterwards(app: FastAPI, visits: Visits, folder: Path) -> str:
    router = APIRouter(prefix="/late")
    app.include_router(router)
    router.get("/mine")(visits.api)
    return "/late/mine"


def mount_an_app(app: FastAPI, visits: Visits, folder: Path) -> str:
    app.mount("/sub", Starlette(routes=[Route("/mine", visits.plain)]))
    return "/sub/mine"


def mount_fastapi(app: FastAPI, visits: Visits, folder: Path) -> str:
    sub = FastAPI()
    sub.get("/mine")(visits.api)
    app.mount("/sub", sub)
    return "/sub/mine"


def mount_files(app: FastAPI, visits: Visits, folder: Path) -> str:
    (folder / "mine.txt").write_text("visited")
    app.mount("/static", StaticFiles(directory=folder))
    return "/static/mine.txt"


def serve_a_front_end(app: FastAPI, visits: Visits, folder: Path) -> str:
    (folder / "index.html").write_text("visited")
    app.frontend("/", directory=folder)
    return "/index.html"


def serve_a_front_end_of_a_router(app: FastAPI, visits: Visits, folder: Path) -> str:
    (folder / "index.html").write_text("visited")
    router = APIRouter(prefix="/front")
    router.frontend("/inner", directory=folder)
    app.include_router(router)
    return "/front/inner/index.html"


def host_an_app(app: FastAPI, visits: Visits, folder: Path) -> str:
    app.host("127.0.0.1", Starlette(routes=[Route("/mine", visits.plain)]))
    return "/mine"


def append_to_the_list(app: FastAPI, visits: Visits, folder: Path) -> str:
    app.router.routes.insert(0, Route("/mine", visits.plain))
    return "/mine"


def use_a_route_class_of_ones_own(app: FastAPI, visits: Visits, folder: Path) -> str:
    app.router.routes.append(ForgingRoute("/never", visits.api))
    return "/forged"


def include_a_route_class_of_ones_own(app: FastAPI, visits: Visits, folder: Path) -> str:
    router = APIRouter(route_class=ForgingRoute)
    router.get("/never")(visits.api)
    app.include_router(router)
    return "/forged"


Way = Callable[[FastAPI, Visits, Path], str]
WAYS: list[Way] = [
    add_by_decorator,
    add_api_route,
    add_starlette_route,
    include_router,
    include_nested_routers,
    add_to_an_included_router_afterwards,
    mount_an_app,
    mount_fastapi,
    mount_files,
    serve_a_front_end,
    serve_a_front_end_of_a_router,
    host_an_app,
    append_to_the_list,
    use_a_route_class_of_ones_own,
    include_a_route_class_of_ones_own,
]

# Of these, nobody outside can know beforehand what they will serve: they have no template.
UNBOUND = (
    serve_a_front_end,
    serve_a_front_end_of_a_router,
    use_a_route_class_of_ones_own,
    include_a_route_class_of_ones_own,
)


@pytest.mark.parametrize("when", ["before get_app", "after get_app"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_route_is_closed_whatever_way_it_was_added(way: Way, when: str, tmp_path: Path) -> None:
    world, visits, base = World(), Visits(), FastAPI()
    if when == "before get_app":
        path = way(base, visits, tmp_path)
    app = world.agent_os(base_app=base).get_app()
    if when == "after get_app":
        path = way(app, visits, tmp_path)
    with serve(app) as server:
        for form in (path, path + "/", "//" + path.lstrip("/"), path.replace("/", "/./", 1)):
            assert status_of(server.get(form)) == 401, form
            holder = world.bearer(OWNER, *EVERYTHING_BUT_ADMIN)
            answer = server.get(form, f"Authorization: {holder['Authorization']}")
            assert status_of(answer) in {403, 404}, form
            assert b"visited" not in answer
        assert visits.count == 0
        assert httpx.get(server.url + path, headers=world.admin()).status_code == 200


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_table_names_a_route_whatever_way_it_was_added(way: Way, tmp_path: Path) -> None:
    """By the template under which the dispatch itself knows it, where it does."""
    world = World()
    kept = ListSink()
    agent_os = world.agent_os(base_app=FastAPI(), audit=AuditConfig(sinks=[kept]))
    app = agent_os.get_app()
    table = agent_os.route_table()
    before = list(table.entries())
    assert all(entry.rule is not None for entry in before)
    path = way(app, Visits(), tmp_path)
    added = [entry for entry in table.entries() if entry not in before]
    assert added
    assert all(entry.rule is None for entry in added)
    with serve(app) as server:
        assert httpx.get(server.url + path, headers=world.admin()).status_code == 200
    (decided,) = [event.route for event in kept.kept if event.kind == EventKind.REQUEST]
    if way not in UNBOUND:
        assert decided in {entry.template for entry in added}


def add_websocket_by_decorator(app: FastAPI, visits: Visits) -> None:
    app.websocket("/ws")(visits.socket)


def add_websocket_route(app: FastAPI, visits: Visits) -> None:
    app.router.add_websocket_route("/ws", visits.socket)


def include_websocket(app: FastAPI, visits: Visits) -> None:
    router = APIRouter()
    router.websocket("/ws")(visits.socket)
    app.include_router(router)


@pytest.mark.parametrize(
    "way",
    [add_websocket_by_decorator, add_websocket_route, include_websocket],
    ids=lambda way: way.__name__,
)
def test_a_websocket_is_closed_whatever_way_it_was_added(
    way: Callable[[FastAPI, Visits], None],
) -> None:
    world, visits = World(), Visits()
    app = world.agent_os().get_app()
    way(app, visits)
    with serve(app) as server:
        address = f"ws://{server.host}:{server.port}/ws"
        assert handshake_status(address, {}) == 401
        assert handshake_status(address, world.bearer(OWNER, *EVERYTHING_BUT_ADMIN)) == 403
        assert visits.count == 0
        with ws.connect(address, additional_headers=world.admin()) as link:
            assert link.recv() == "visited"


def handshake_status(address: str, headers: dict[str, str]) -> int:
    with pytest.raises(InvalidStatus) as refused, ws.connect(address, additional_headers=headers):
        pass
    return refused.value.response.status_code


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[World, LiveServer]]:
    """An app of one's own whose routes are mapped."""
    world, visits, base = World(), Visits(), FastAPI()
    router = APIRouter(prefix="/reports")
    router.get("/{report_id}")(visits.api)
    router.get("/")(visits.api)
    base.include_router(router)
    base.get("/hello")(visits.api)
    base.get("/anybody")(visits.api)
    base.websocket("/ws")(visits.socket)
    mount_files(base, visits, tmp_path)
    config = {
        "scope_mappings": {
            "GET /reports/{id}": ["reports:{id}:read"],
            "GET /reports": ["reports:read"],
            "GET /hello": [],
            "WEBSOCKET /ws": ["reports:read"],
            "* /static": ["files:read"],
        },
        "public_paths": ["/anybody"],
    }
    with serve(world.agent_os(base_app=base, config=config).get_app()) as server:
        yield world, server


@pytest.mark.parametrize(
    ("path", "scopes", "status"),
    [
        ("/reports/7", ["reports:read"], 200),
        ("/reports/7", ["reports:*:read"], 200),
        ("/reports/7", ["reports:7:read"], 200),
        ("/reports/7", ["reports:8:read"], 403),
        ("/reports/7", ["reports:write"], 403),
        ("/reports/", ["reports:read"], 200),
        ("/reports", ["reports:read"], 200),
        ("/reports", ["reports:7:read"], 403),
        ("/hello", [], 200),
        ("/static/mine.txt", ["files:read"], 200),
        ("/static/mine.txt", ["reports:read"], 403),
        ("/anybody", [], 200),
    ],
)
def test_scope_mappings_open_what_they_name(
    opened: tuple[World, LiveServer], path: str, scopes: list[str], status: int
) -> None:
    world, server = opened
    answer = httpx.get(server.url + path, headers=world.bearer(OWNER, *scopes))
    assert answer.status_code == status


def test_mapped_routes_still_need_a_token_and_public_ones_do_not(
    opened: tuple[World, LiveServer],
) -> None:
    _, server = opened
    for path in ("/reports/7", "/reports", "/hello", "/static/mine.txt"):
        assert httpx.get(server.url + path).status_code == 401
    assert httpx.get(server.url + "/anybody").status_code == 200


def test_a_mapped_websocket_opens_for_its_scope(opened: tuple[World, LiveServer]) -> None:
    world, server = opened
    address = f"ws://{server.host}:{server.port}/ws"
    assert handshake_status(address, world.bearer(OWNER, "reports:write")) == 403
    with ws.connect(address, additional_headers=world.bearer(OWNER, "reports:read")) as link:
        assert link.recv() == "visited"


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"scope_mappings": {"/reports": ["reports:read"]}}, "not of the form"),
        ({"scope_mappings": {"GET reports": ["reports:read"]}}, "not of the form"),
        ({"scope_mappings": {"GET /x": "reports:read"}}, "a list of scopes"),
        ({"scope_mappings": {"GET /x": ["reports"]}}, "neither"),
        ({"scope_mappings": {"GET /x": ["reports:{id}:read"]}}, "placeholder"),
        ({"scope_mappings": {"GET /x/{a}": [], "GET /x/{b}": []}}, "mapped twice"),
        ({"scope_mappings": {"GET /x": []}, "public_paths": ["/x"]}, "at once"),
        ({"public_paths": ["x"]}, "does not begin"),
        ({"public_paths": ["/agents"]}, "stays closed"),
        ({"public_paths": ["/agents/{x}/runs"]}, "stays closed"),
        ({"excluded_route_paths": ["/agents"]}, "stays closed"),
    ],
)
def test_mappings_that_cannot_be_meant_refuse_to_start(
    config: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        World().agent_os(config=config).get_app()


def test_excluded_paths_are_public_and_may_name_what_is_open_anyway() -> None:
    mine = FastAPI()
    mine.get("/mine")(lambda: "open")
    config = {"excluded_route_paths": ["/health", "/info", "/mine"], "public_paths": ["/mine"]}
    with serve(World().agent_os(config=config, base_app=mine).get_app()) as server:
        for path in ("/health", "/info", "/mine"):
            assert httpx.get(server.url + path).status_code == 200


def test_a_mapping_that_binds_to_no_route_refuses_to_start() -> None:
    app = World().agent_os(config={"scope_mappings": {"GET /typo": ["agents:read"]}}).get_app()
    with pytest.raises(RuntimeError, match="did not start"), serve(app):
        pass


PATH_FORMS = [
    "/agents",
    "/agents/",
    "//agents",
    "/agents//",
    "/./agents",
    "/x/../agents",
    "/agents/.",
    "/agents/..",
    "/%61gents",
    "/agents%2F",
    "/agents%2Falpha",
    "/agents/alpha%2Fruns",
    "/agents/%2e%2e/agents",
    "/AGENTS",
    "/Agents",
    "/agents;x=1",
    "/agents?",
    "/agents?a=b",
    "/agents#x",
    "/agents%00",
    "/agents%20",
    "/agents%0a",
    "/agents\\",
    "/;/agents",
    "/agents/%61lpha",
    "/agents/*",
    "/agents/%2A",
    "http://127.0.0.1/agents",
    "http://elsewhere.example/agents",
    "*",
    "agents",
    "/docs/../agents",
    "/docs/%2e%2e/agents",
    "/health/../agents",
    "/openapi.json/../agents",
    "/health%2F..%2Fagents",
]


@pytest.mark.parametrize("form", PATH_FORMS)
def test_no_form_of_a_path_changes_the_answer(form: str) -> None:
    world = World()
    with serve(world.agent_os().get_app()) as server:
        for method in ("GET", "HEAD", "POST"):
            without = status_of(server.get(form, method=method))
            weak = world.bearer(OWNER, "config:read")["Authorization"]
            holding_too_little = server.get(form, f"Authorization: {weak}", method=method)
            assert without in {400, 401, 404}, (form, method, without)
            assert status_of(holding_too_little) in {400, 403, 404, 405}, (form, method)
            assert b"alpha" not in holding_too_little


def test_an_early_refusal_does_not_wait_for_the_body() -> None:
    world = World()
    with serve(world.agent_os().get_app()) as server:
        head = (
            "POST /agents/alpha/runs HTTP/1.1\r\nHost: x\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000000000\r\n"
        )
        refused = server.raw(f"{head}\r\n".encode())
        assert status_of(refused) == 401
        assert b"connection: close" in refused.lower()
        token = world.bearer(OWNER, "agents:run")["Authorization"]
        too_large = server.raw(f"{head}Authorization: {token}\r\n\r\n".encode())
        assert status_of(too_large) == 413
        assert b"connection: close" in too_large.lower()
        assert b"10485760 bytes" in too_large


def test_a_chunked_body_is_cut_off_at_the_limit() -> None:
    world = World()
    with serve(world.agent_os().get_app()) as server:
        token = world.bearer(OWNER, "agents:run")["Authorization"]
        with socket.create_connection((server.host, server.port), timeout=20) as link:
            link.sendall(
                f"POST /agents/alpha/runs HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
                "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            )
            chunk = b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20))
            sent = 0
            try:
                for _ in range(64):
                    link.sendall(chunk)
                    sent += 1
            except (BrokenPipeError, ConnectionResetError):
                pass
            answer = receive_until_closed(link)
        assert sent < 64 or status_of(answer) == 413
        if answer:
            assert status_of(answer) == 413


def receive_until_closed(link: socket.socket) -> bytes:
    answer = b""
    try:
        while part := link.recv(65536):
            answer += part
    except ConnectionResetError:
        pass
    return answer


def test_the_openapi_document_names_the_scopes_of_each_operation() -> None:
    with serve(World().agent_os().get_app()) as server:
        document = json.loads(httpx.get(server.url + "/openapi.json").text)
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert operations["POST /agents/{agent_id}/runs"]["x-required-scopes"] == ["agents:run"]
    assert operations["POST /agents/{agent_id}/runs"]["security"] == [{"bearer": ["agents:run"]}]
    assert operations["GET /health"]["security"] == []
    assert len(operations) == 52
    assert all("security" in operation for operation in operations.values())


def test_a_mapping_for_one_segment_does_not_open_a_whole_path() -> None:
    world, base = World(), FastAPI()
    base.get("/files/{name:path}")(Visits().api)
    app = world.agent_os(
        base_app=base, config={"scope_mappings": {"GET /files/{name}": ["files:read"]}}
    ).get_app()
    with pytest.raises(RuntimeError, match="did not start"), serve(app):
        pass
    world, base = World(), FastAPI()
    base.get("/files/{name:path}")(Visits().api)
    app = world.agent_os(
        base_app=base,
        config={"scope_mappings": {"GET /files/{name:path}": ["files:{name}:read"]}},
    ).get_app()
    with serve(app) as server:
        for path, status in (("/files/a", 200), ("/files/a/b", 403)):
            headers = world.bearer(OWNER, "files:a:read")
            assert httpx.get(server.url + path, headers=headers).status_code == status
