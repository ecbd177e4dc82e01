from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import pytest
import websockets.sync.client as ws
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, WebSocket
from starlette.requests import HTTPConnection

from licet.authn.principal import Principal
from licet.db.in_memory import InMemoryDb
from licet.errors import ConfigurationError
from licet.os import AgentOS, current_principal, public, replace_dependency, requires
from licet.os.rules import declared
from tests.support.live import LiveServer, serve
from tests.support.world import OWNER, World

WORLD = World()
Who = Annotated[Principal, Depends(current_principal)]


def verified_header(authorization: Annotated[str, Header()] = "") -> dict[str, str]:
    """What an app did by itself before: it knows one token."""
    if authorization != "Bearer the-old-way":
        raise HTTPException(401, "not the old way")
    return {"user": "old"}


def own_app() -> FastAPI:
    app = FastAPI()

    @app.get("/reports")
    @requires("reports:read")
    async def reports(who: Who) -> str:
        return who.subject

    @app.get("/both")
    @requires("reports:read")
    @requires("bills:read")
    async def both() -> str:
        return "both"

    @app.get("/open")
    @public
    async def open_to_all() -> str:
        return "open"

    @app.get("/open-but-who")
    @public
    async def who_is_it(who: Who) -> str:
        return who.subject

    @app.get("/old")
    @requires("reports:read")
    async def old(user: Annotated[dict[str, str], Depends(verified_header)]) -> dict[str, str]:
        return user

    @app.get("/old-and-open")
    @public
    async def old_open(user: Annotated[dict[str, str], Depends(verified_header)]) -> Any:
        return user

    router = APIRouter(prefix="/bills")

    @router.get("/{bill_id}")
    @requires("bills:read", id_param="bill_id")
    async def bill(bill_id: str, who: Who) -> str:
        return f"{bill_id} of {who.subject}"

    @router.websocket("/{bill_id}/live")
    @requires("bills:read", id_param="bill_id")
    async def live(websocket: WebSocket, bill_id: str, who: Who) -> None:
        await websocket.accept()
        await websocket.send_text(f"{bill_id} of {who.subject}")
        await websocket.close()

    @router.websocket("/open")
    @public
    async def open_live(websocket: WebSocket, who: Who) -> None:
        await websocket.accept()

    app.include_router(router)
    return app


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    app = own_app()
    replace_dependency(app, verified_header, lambda who: {"user": who.subject})
    served = WORLD.agent_os(base_app=app).get_app()

    @served.get("/late/{late_id}")
    @requires("lateness:see", id_param="late_id")
    async def late(late_id: str) -> str:
        return late_id

    with serve(served) as live:
        yield live


@pytest.mark.parametrize(
    ("path", "scopes", "status", "body"),
    [
        ("/reports", ("reports:read",), 200, OWNER),
        ("/reports", ("bills:read",), 403, None),
        ("/both", ("reports:read", "bills:read"), 200, "both"),
        ("/both", ("reports:read",), 403, None),
        ("/both", ("bills:read",), 403, None),
        ("/bills/7", ("bills:7:read",), 200, f"7 of {OWNER}"),
        ("/bills/8", ("bills:7:read",), 403, None),
        ("/bills/8", ("bills:*:read",), 200, f"8 of {OWNER}"),
        ("/late/1", ("lateness:1:see",), 200, "1"),
        ("/late/1", ("lateness:2:see",), 403, None),
        ("/old", ("reports:read",), 200, {"user": OWNER}),
        ("/old", (), 403, None),
    ],
)
def test_own_routes_ask_for_permissions_of_their_own(
    server: LiveServer, path: str, scopes: tuple[str, ...], status: int, body: Any
) -> None:
    answer = httpx.get(server.url + path, headers=WORLD.bearer(OWNER, *scopes))
    assert answer.status_code == status, answer.text
    if body is not None:
        assert answer.json() == body
    assert httpx.get(server.url + path).status_code == 401


def test_on_a_public_route_nobody_is_known(server: LiveServer) -> None:
    assert httpx.get(f"{server.url}/open").json() == "open"
    answer = httpx.get(f"{server.url}/open-but-who", headers=WORLD.bearer(OWNER))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    address = server.url.replace("http", "ws") + "/bills/open"
    with pytest.raises(Exception, match=r"403|1008"), ws.connect(address):
        pass


def test_what_a_replaced_dependency_kept_closed_does_not_open(server: LiveServer) -> None:
    for headers in ({}, {"Authorization": "Bearer the-old-way"}, WORLD.bearer(OWNER)):
        assert httpx.get(f"{server.url}/old-and-open", headers=headers).status_code == 401


def test_a_dependency_may_become_the_principal_itself() -> None:
    app = FastAPI()

    @app.get("/old")
    @requires("reports:read")
    async def old(user: Annotated[Any, Depends(verified_header)]) -> str:
        return str(user.subject)

    replace_dependency(app, verified_header)
    with serve(WORLD.agent_os(base_app=app).get_app()) as live:
        headers = WORLD.bearer(OWNER, "reports:read")
        assert httpx.get(f"{live.url}/old", headers=headers).json() == OWNER


def test_a_websocket_of_a_router(server: LiveServer) -> None:
    address = server.url.replace("http", "ws") + "/bills/7/live"
    with ws.connect(address, additional_headers=WORLD.bearer(OWNER, "bills:7:read")) as link:
        assert link.recv() == f"7 of {OWNER}"
    with (
        pytest.raises(Exception, match="403"),
        ws.connect(address, additional_headers=WORLD.bearer(OWNER, "bills:8:read")),
    ):
        pass


async def test_where_no_chain_is_nobody_is_authenticated() -> None:
    with pytest.raises(HTTPException):
        await current_principal(HTTPConnection({"type": "http", "headers": []}))


class TestDeclaring:
    def test_an_object_that_the_path_does_not_name_refuses_to_start(self) -> None:
        app = FastAPI()

        @app.get("/bills/{bill}")
        @requires("bills:read", id_param="bill_id")
        async def bill(bill: str) -> str:
            return bill

        served = WORLD.agent_os(base_app=app).get_app()
        with pytest.raises(RuntimeError, match="did not start"), serve(served):
            pass

    @pytest.mark.parametrize("scope", ["reports", "a:b:c", "reports:*", ":read", "reports:"])
    def test_a_scope_is_a_resource_and_an_action(self, scope: str) -> None:
        with pytest.raises(ConfigurationError, match="resource:action"):
            requires(scope)

    def test_public_and_a_permission_exclude_each_other(self) -> None:
        def endpoint() -> None:
            """Stands for a route."""

        with pytest.raises(ConfigurationError, match="public"):
            requires("a:read")(public(endpoint))

        def other() -> None:
            """Stands for another."""

        with pytest.raises(ConfigurationError, match="a:read"):
            public(requires("a:read")(other))
        assert public(public(endpoint)) is endpoint

    def test_several_permissions_are_all_needed(self) -> None:
        @requires("a:read")
        @requires("b:read")
        def endpoint() -> None:
            """Stands for a route."""

        rule = declared(endpoint)
        assert rule is not None
        assert rule.scopes == ("a:read", "b:read")

    def test_roles_may_stand_for_scopes_of_declared_routes(self) -> None:
        app = FastAPI()
        app.get("/reports")(requires("reports:read")(lambda: "reports"))
        roles = {"roles": {"analyst": ["reports:read"]}}
        with serve(WORLD.agent_os(base_app=app, config=roles).get_app()) as live:
            headers = WORLD.bearer(OWNER, roles=["analyst"])
            assert httpx.get(f"{live.url}/reports", headers=headers).status_code == 200


class TestListsFollowAuthorizers:
    def test_what_an_authorizer_denies_is_not_listed(self) -> None:
        from tests.os.test_explaining import NotBeta

        world = World()
        with serve(world.agent_os(authorizers=[NotBeta()]).get_app()) as live:
            headers = world.bearer(OWNER, "agents:read", "config:read")
            listed = httpx.get(f"{live.url}/agents", headers=headers).json()
            assert [agent["id"] for agent in listed] == ["alpha"]
            config = httpx.get(f"{live.url}/config", headers=headers).json()
            assert [agent["id"] for agent in config["agents"]] == ["alpha"]
            denied = httpx.get(f"{live.url}/agents/beta", headers=headers)
            assert (denied.status_code, denied.json()) == (403, {"detail": "Access denied"})
            assert "mended" not in denied.text


class TestAuthorizersAreGivenRightly:
    def test_without_authorization_nobody_would_ask_them(self) -> None:
        from tests.os.test_explaining import NotBeta

        with pytest.raises(ConfigurationError, match="nobody would ask them"):
            AgentOS(db=InMemoryDb(), authorizers=[NotBeta()])

    def test_what_is_no_authorizer_is_refused(self) -> None:
        class Sync:
            def authorize(self, request: object) -> None:
                """Not awaited."""

        for wrong in (Sync(), object()):
            with pytest.raises(ConfigurationError, match="no authorizer"):
                WORLD.agent_os(authorizers=[wrong])
