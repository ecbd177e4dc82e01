from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import websockets.sync.client as ws
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.staticfiles import StaticFiles
from websockets.exceptions import InvalidStatus

from licet.agent import Agent
from licet.authn.principal import Principal
from licet.db.audit_records import AuditQuery
from licet.db.in_memory import InMemoryDb
from licet.errors import ConfigurationError
from licet.os import AgentOS, TrustedIssuer, current_principal, requires
from licet.os.config import Settings
from licet.os.middleware import JWTMiddleware, TokenSource
from licet.testing import Say, ScriptedModel, TokenFactory
from tests.support.live import LiveServer, serve, status_of

TOKENS = TokenFactory()
OTHER = TrustedIssuer(alias="b", issuer="https://b.test", verification_keys=[TOKENS.public_key])
MAPPINGS = {
    "GET /reports/{report_id}": ["reports:{report_id}:read"],
    "GET /me": [],
    "WEBSOCKET /live": ["reports:read"],
}


def bearer(*scopes: str, subject: str = "olga", **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS.token(subject, scopes=scopes, **claims)}"}


ADMIN = bearer("agent_os:admin", subject="ada")


def wired(tmp_path: Any = None, **settings: Any) -> FastAPI:
    """An app of one's own, wired by hand."""
    app = FastAPI()

    @app.get("/reports/{number}")
    async def report(number: str) -> dict[str, str]:
        return {"report": number}

    @app.get("/me")
    async def me(who: Principal = Depends(current_principal)) -> dict[str, str]:  # noqa: B008, FAST002 - the old spelling works, too
        return {"subject": who.subject}

    @app.get("/health")
    async def health() -> str:
        return "ok"

    @app.websocket("/live")
    async def live(websocket: WebSocket, who: Principal = Depends(current_principal)) -> None:  # noqa: B008 - as above
        await websocket.accept()
        await websocket.send_text(who.subject)
        await websocket.close()

    router = APIRouter(prefix="/bills")

    @router.get("/{bill_id}")
    @requires("bills:read", id_param="bill_id")
    async def bill(bill_id: str) -> str:
        return bill_id

    app.include_router(router)
    app.get("/forgotten")(lambda: "secret")
    if tmp_path is not None:
        (tmp_path / "page.html").write_text("secret")
        app.mount("/files", StaticFiles(directory=tmp_path))
    given = {
        "verification_keys": [TOKENS.public_key],
        "scope_mappings": MAPPINGS,
        "excluded_route_paths": ["/health"],
        **settings,
    }
    app.add_middleware(JWTMiddleware, **given)
    return app


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serve(wired(tmp_path_factory.mktemp("files"))) as live:
        yield live


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/health", {}, 200),
        ("/me", {}, 401),
        ("/me", bearer(), 200),
        ("/me", {"Authorization": "Bearer junk"}, 401),
        ("/reports/7", bearer(), 403),
        ("/reports/7", bearer("reports:read"), 200),
        ("/reports/7", bearer("reports:7:read"), 200),
        ("/reports/8", bearer("reports:7:read"), 403),
        ("/bills/3", bearer("bills:3:read"), 200),
        ("/bills/3", bearer("bills:read"), 200),
        ("/bills/3", bearer("reports:read"), 403),
        ("/forgotten", bearer("reports:read", "bills:read"), 403),
        ("/forgotten", ADMIN, 200),
        ("/files/page.html", bearer("reports:read"), 403),
        ("/files/page.html", ADMIN, 200),
        ("/nowhere", bearer(), 404),
        ("/nowhere", {}, 401),
    ],
)
def test_every_route_of_the_app_is_guarded(
    server: LiveServer, path: str, headers: dict[str, str], status: int
) -> None:
    answer = httpx.get(server.url + path, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["x-request-id"]
    for form in (path + "/", "/" + path, f"/.{path}"):
        assert status_of(server.get(form)) in {200, 307, 401} if path == "/health" else 401


def test_who_asks_is_told_to_endpoints(server: LiveServer) -> None:
    assert httpx.get(f"{server.url}/me", headers=bearer()).json() == {"subject": "olga"}


def test_websockets_are_guarded(server: LiveServer) -> None:
    address = server.url.replace("http", "ws") + "/live"
    with ws.connect(address, additional_headers=bearer("reports:read")) as link:
        assert link.recv() == "olga"
    for headers, status in (({}, 401), (bearer(), 403)):
        with (
            pytest.raises(InvalidStatus) as refused,
            ws.connect(address, additional_headers=headers),
        ):
            pass
        assert refused.value.response.status_code == status


def test_a_body_is_not_read_before_the_decision(server: LiveServer) -> None:
    head = "POST /forgotten HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
    answer = server.raw(head.encode())
    assert status_of(answer) == 401
    assert b"connection: close" in answer.lower()


def test_a_token_in_a_cookie() -> None:
    app = wired(token_source=TokenSource.COOKIE, cookie_name="session_token")
    with serve(app) as live:
        cookies = {"session_token": TOKENS.token("olga")}
        assert httpx.get(f"{live.url}/me", cookies=cookies).status_code == 200
        assert httpx.get(f"{live.url}/me", headers=bearer()).status_code == 401


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"scope_mappings": {"GET /gone": ["x:read"]}}, "routes that do not exist: GET /gone"),
        (
            {"scope_mappings": {"GET /me": ["a:read"], "GET /me/": ["b:read"]}},
            "GET /me is mapped twice",
        ),
        ({"scope_mappings": {"GET /health": ["a:read"]}}, "public and needs scopes"),
        ({"roles": {"boss": ["nothing:at:all:here"]}}, "grants nothing"),
        ({"verification_keys": []}, "needs a key"),
        ({"authorization": False}, "every token do everything"),
        ({"secret_key": "x"}, "no setting 'secret_key'"),
        ({"validate": False, "issuers": [OTHER]}, "one issuer"),
        ({"validate": False, "settings": Settings(trusted_proxies=["10.0.0.1"])}, "no proxies"),
    ],
)
def test_what_cannot_be_meant_refuses_to_start(settings: dict[str, Any], complaint: str) -> None:
    app = wired(**settings)

    sent: list[Any] = []

    async def start() -> None:
        async def receive() -> dict[str, str]:
            return {"type": "lifespan.startup"}

        async def send(message: Any) -> None:
            sent.append(message)

        await app({"type": "lifespan", "state": {}}, receive, send)

    with pytest.raises(ConfigurationError, match=complaint):
        asyncio.run(start())
    # The server is told, too: one that only sees an exception may take the lifespan for optional.
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]


def test_rules_of_routes_that_the_lifespan_adds_are_bound() -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.get("/late")(lambda: "late")
        yield

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(
        JWTMiddleware,
        verification_keys=[TOKENS.public_key],
        scope_mappings={"GET /late": ["late:read"]},
    )
    with serve(app) as live:
        assert httpx.get(f"{live.url}/late", headers=bearer("late:read")).status_code == 200
        assert httpx.get(f"{live.url}/late", headers=bearer()).status_code == 403


def test_decisions_are_recorded() -> None:
    db = InMemoryDb()
    with serve(wired(db=db)) as live:
        httpx.get(f"{live.url}/reports/7", headers=bearer("reports:7:read"))
        httpx.get(f"{live.url}/reports/8", headers=bearer("reports:7:read"))
    found = asyncio.run(db.audit().find(AuditQuery()))
    assert [(r.decision, r.resource_id, r.action) for r in found] == [
        ("deny", "8", "reports:read"),
        ("allow", "7", "reports:read"),
    ]


def test_a_trusted_proxy_speaks_for_its_clients() -> None:
    db = InMemoryDb()
    with serve(wired(db=db, settings=Settings(trusted_proxies=["127.0.0.1"]))) as live:
        httpx.get(f"{live.url}/me", headers={**bearer(), "X-Forwarded-For": "192.0.2.7"})
    (record,) = asyncio.run(db.audit().find(AuditQuery()))
    assert record.client == "192.0.2.7"


class TestWithoutSignatures:
    def test_this_machine_is_answered_and_told_so(self, caplog: pytest.LogCaptureFixture) -> None:
        stranger = TokenFactory(fresh_key=True)
        with serve(wired(validate=False)) as live:
            headers = {"Authorization": f"Bearer {stranger.token('olga')}"}
            assert httpx.get(f"{live.url}/me", headers=headers).json() == {"subject": "olga"}
            late = {"Authorization": f"Bearer {stranger.token('olga', exp=1)}"}
            assert httpx.get(f"{live.url}/me", headers=late).status_code == 401
            big = {"Authorization": f"Bearer {stranger.token('olga', x='x' * 20000)}"}
            assert httpx.get(f"{live.url}/me", headers=big).status_code == 401
        assert "SIGNATURES ARE NOT LOOKED AT" in caplog.text

    @pytest.mark.parametrize(
        "headers",
        [
            ["Host: evil.example"],
            ["X-Forwarded-For: 127.0.0.1"],
            ["Origin: https://evil.example"],
        ],
    )
    def test_nobody_else_is(self, headers: list[str]) -> None:
        with serve(wired(validate=False)) as live:
            token = bearer()["Authorization"]
            lines = [f"Authorization: {token}", *headers]
            if not headers[0].startswith("Host"):
                assert status_of(live.get("/me", *lines)) == 403
            else:
                request = ["GET /me HTTP/1.1", *lines, "Connection: close", "", ""]
                assert status_of(live.raw("\r\n".join(request).encode())) == 403


class TestAroundAnAgentOS:
    def agent_os(self, **given: Any) -> AgentOS:
        model = ScriptedModel([Say("Hello")], when_exhausted="repeat_last")
        return AgentOS(id="shop", agents=[Agent(id="alpha", model=model)], db=InMemoryDb(), **given)

    def test_it_turns_authorization_on(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        agent_os = self.agent_os()
        app = agent_os.get_app()
        app.add_middleware(
            JWTMiddleware,
            verification_keys=[TOKENS.public_key],
            scope_mappings={"GET /own": ["own:read"]},
        )
        app.get("/own")(lambda: "own")
        with serve(app) as live:
            run = f"{live.url}/agents/alpha/runs"
            form = {"message": "hi", "stream": "false"}
            assert httpx.post(run, data=form).status_code == 401
            assert httpx.post(run, data=form, headers=bearer()).status_code == 403
            answer = httpx.post(run, data=form, headers=bearer("agents:run", aud="shop"))
            assert answer.json()["content"] == "Hello"
            assert httpx.get(f"{live.url}/own", headers=bearer("own:read")).status_code == 200
            assert httpx.get(f"{live.url}/health").status_code == 200
            # Elsewhere than on this machine, too: who may is what the token says.
            far = {**bearer("own:read"), "Host": "shop.example", "X-Forwarded-For": "10.0.0.7"}
            assert httpx.get(f"{live.url}/own", headers=far).status_code == 200
            assert httpx.get(f"{live.url}/info").json()["auth_mode"] == "jwt"
            revoked = httpx.post(f"{live.url}/revocations", json={"subject": "olga"}, headers=ADMIN)
            assert revoked.status_code == 201
            assert httpx.get(f"{live.url}/own", headers=bearer("own:read")).status_code == 401

    def test_it_may_stand_in_the_base_app(self) -> None:
        base = FastAPI()
        base.add_middleware(JWTMiddleware, verification_keys=[TOKENS.public_key])
        with serve(self.agent_os(base_app=base).get_app()) as live:
            assert httpx.get(f"{live.url}/agents").status_code == 401
            answer = httpx.get(f"{live.url}/agents", headers=bearer("agents:read"))
            assert [agent["id"] for agent in answer.json()] == ["alpha"]

    @pytest.mark.parametrize("given", [{"db": InMemoryDb()}, {"settings": Settings()}])
    def test_what_is_the_agent_oss_is_given_there(self, given: dict[str, Any]) -> None:
        app = self.agent_os().get_app()
        app.add_middleware(JWTMiddleware, verification_keys=[TOKENS.public_key], **given)
        with pytest.raises(RuntimeError, match="did not start"), serve(app):
            pass

    def test_where_the_chain_is_already_it_refuses_to_start(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        from licet.os import AuthorizationConfig

        config = AuthorizationConfig(verification_keys=[TOKENS.public_key])
        app = self.agent_os(authorization=True, authorization_config=config).get_app()
        app.add_middleware(JWTMiddleware, verification_keys=[TOKENS.public_key])
        with pytest.raises(RuntimeError, match="did not start"), serve(app):
            pass
        assert "leave JWTMiddleware out" in caplog.text


def test_it_is_for_fastapi_apps() -> None:
    from starlette.applications import Starlette

    app = Starlette()
    app.add_middleware(JWTMiddleware, verification_keys=[TOKENS.public_key])

    async def call() -> None:
        async def nothing(*_: Any) -> None:
            """Nobody listens."""

        await app({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]  # as above

    with pytest.raises(ConfigurationError, match="FastAPI"):
        asyncio.run(call())


def test_the_package_has_no_other_name() -> None:
    import licet.os.middleware as package

    with pytest.raises(AttributeError, match="Unknown"):
        _ = package.Unknown
