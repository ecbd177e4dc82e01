"""What is decided is in the audit trail: once, with all that is known, and nothing of a token."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg
import pytest
import websockets.sync.client as ws
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.responses import PlainTextResponse
from websockets.exceptions import InvalidStatus

from licet.audit import AuditConfig, AuditEvent, FileSink, Keep, LogSink
from licet.audit.db_sink import DbSink
from licet.audit.recorder import AuditUnavailableError, Recorder
from licet.audit.signing import load_signer
from licet.audit.verifying import verify
from licet.authz.authorizer import AccessRequest
from licet.authz.decision import Decision, deny, no_opinion
from licet.db.audit_records import AuditCursor, AuditQuery, AuditRecord
from licet.db.base import Db
from licet.db.codec import storable
from licet.db.in_memory import InMemoryDb
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.errors import ConfigurationError
from licet.os import AgentOS, AuthorizationConfig, Settings, TokenSource
from licet.os.auditing import Auditing, build_auditing
from licet.os.denial import Denial
from licet.testing import TokenFactory, key_set
from tests.os.test_gate import ForgingRoute
from tests.support.live import LiveServer, serve, status_of
from tests.support.postgres import postgres_server, postgres_url
from tests.support.world import ADMIN, OS_ID, OWNER, World

__all__ = ["postgres_server", "postgres_url"]

BLOCKING = AuditConfig(mode="blocking", anchors=(), timeout_seconds=20)
MAPPED = {
    "GET /reports/{report_id}": ["reports:{report_id}:read"],
    "POST /reports/{report_id}": ["reports:write"],
    "GET /anything": [],
    "GET /both": ["reports:read", "files:read"],
    "WEBSOCKET /live": ["reports:read"],
}
DEADLINE_SECONDS = 30.0


class Engine:
    """A policy engine of one's own, with an opinion on sundays."""

    async def authorize(self, request: AccessRequest) -> Decision:
        if request.resource_id == "sunday":
            return deny("it is sunday\nand a line of its own", "calendar")
        if request.resource_id == "broken":
            raise ConnectionError("pdp.internal is away")
        return no_opinion("not my business", "engine")


class Visits:
    """Routes of one's own, and how often they were reached."""

    def __init__(self) -> None:
        self.count = 0

    def app(self) -> FastAPI:
        app = FastAPI()

        async def report(_: object = None) -> PlainTextResponse:
            self.count += 1
            return PlainTextResponse("visited")

        @app.websocket("/live")
        async def live(websocket: WebSocket) -> None:
            self.count += 1
            await websocket.accept()
            await websocket.send_text("visited")
            await websocket.close()

        for path in ("/reports/{report_id}", "/anything", "/both", "/undeclared", "/open"):
            app.add_route(path, report, methods=["GET", "POST"])
        router = APIRouter(route_class=ForgingRoute)
        router.get("/never")(live)
        app.include_router(router)
        return app


class Trail:
    """The audit trail of a database, read from where it was read last."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._place: AuditCursor | None = None
        self.news()

    def news(self) -> list[AuditRecord]:
        """What is there since this was called last."""
        found = asyncio.run(self._read(AuditQuery(oldest_first=True, after=self._place, limit=500)))
        self._place = found[-1].cursor if found else self._place
        return found

    @classmethod
    def of(cls, db: Db) -> list[AuditRecord]:
        """All that a closed database holds."""

        async def read() -> list[AuditRecord]:
            found = list(await db.audit().find(AuditQuery(oldest_first=True, limit=500)))
            await db.close()
            return found

        return asyncio.run(read())

    async def _read(self, query: AuditQuery) -> list[AuditRecord]:
        return list(await self._db.audit().find(query))


class Served:
    """A server whose decisions are in the trail as soon as they are answered."""

    def __init__(self, world: World, live: LiveServer, visits: Visits) -> None:
        self.world = world
        self.live = live
        self.visits = visits
        self.trail = Trail(world.db)

    def ask(self, method: str, path: str, headers: Any = (), **given: Any) -> httpx.Response:
        """One request."""
        url = self.live.url + path
        return httpx.request(method, url, headers=dict(headers), timeout=30, **given)

    def one(self) -> AuditRecord:
        """The only record that is new."""
        (found,) = self.trail.news()
        return found


@contextmanager
def served(world: World | None = None, **given: Any) -> Iterator[Served]:
    world, visits = world or World(), Visits()
    given["config"] = {
        "scope_mappings": MAPPED,
        "public_paths": ["/open"],
        **given.get("config", {}),
    }
    given = {"audit": BLOCKING, "authorizers": [Engine()], **given}
    app = world.agent_os(base_app=visits.app(), **given).get_app()
    with serve(app) as live:
        yield Served(world, live, visits)


@pytest.fixture(scope="module")
def house() -> Iterator[Served]:
    with served() as made:
        yield made


@pytest.fixture
def at(house: Served) -> Served:
    house.trail.news()
    return house


def fields(record: AuditRecord, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


# Every kind of answer

UNTOLD = {"action": None, "resource": None, "resource_id": None}
NOBODY = {"issuer_alias": None, "subject": None, "token_id": None, "credential": "none"}
OLGA = {"issuer_alias": "default", "subject": OWNER, "token_id": "t-1", "credential": "jwt"}
REPORT = {
    "action": "reports:read",
    "resource": "reports",
    "resource_id": "7",
    "route": "/reports/{report_id}",
}
ALLOWED: dict[str, Any] = {"decision": "allow", "status": None, "kind": "request"}
DENIED: dict[str, Any] = {"decision": "deny", "kind": "request"}

ANSWERS: dict[str, tuple[str, str, Sequence[str] | None, int, dict[str, Any]]] = {
    "allowed by a scope": (
        *("GET", "/reports/7", ["reports:read"], 200),
        {**ALLOWED, **OLGA, **REPORT, "rule": "scope:reports:read"},
    ),
    "allowed for one object": (
        *("GET", "/reports/7", ["reports:7:read"], 200),
        {**ALLOWED, **OLGA, **REPORT, "reason": "the caller holds reports:read"},
    ),
    "allowed as the administrator": (
        *("GET", "/reports/7", ["agent_os:admin"], 200),
        {**ALLOWED, **REPORT, "rule": "admin", "reason": "the caller is the administrator"},
    ),
    "allowed for whoever is verified": (
        *("GET", "/anything", [], 200),
        {**ALLOWED, **OLGA, **UNTOLD, "rule": "verified", "route": "/anything"},
    ),
    "allowed to list": (
        *("GET", "/agents", ["agents:alpha:read"], 200),
        {**ALLOWED, "action": "agents:read", "resource": "agents", "resource_id": None},
    ),
    "allowed, and then not found": (
        *("GET", "/agents/nobody", ["agents:read"], 404),
        {**ALLOWED, "action": "agents:read", "resource_id": "nobody"},
    ),
    "HEAD": (
        *("HEAD", "/reports/7", ["reports:read"], 200),
        {**ALLOWED, **REPORT, "method": "HEAD"},
    ),
    "a change": (
        *("POST", "/reports/7", ["reports:write"], 200),
        {**ALLOWED, "method": "POST", "action": "reports:write", "resource_id": None},
    ),
    "a slash after it": (
        *("GET", "/reports/7/", ["reports:read"], 200),
        {**ALLOWED, **REPORT},
    ),
    "a query is nobody's business": (
        *("GET", "/reports/7?token=secret", ["reports:read"], 200),
        {**ALLOWED, **REPORT},
    ),
    "nobody": (
        *("GET", "/reports/7", None, 401),
        {**DENIED, **NOBODY, **REPORT, "status": 401, "rule": "no_credentials"},
    ),
    "too little": (
        *("GET", "/reports/7", ["reports:8:read"], 403),
        {
            **DENIED,
            **OLGA,
            **REPORT,
            "status": 403,
            "rule": "scope:reports:read",
            "reason": "the caller does not hold reports:read",
        },
    ),
    "one of two that are needed": (
        *("GET", "/both", ["reports:read"], 403),
        {**DENIED, "action": "files:read", "rule": "scope:files:read"},
    ),
    "undeclared": (
        *("GET", "/undeclared", ["reports:read"], 403),
        {**DENIED, **UNTOLD, "rule": "undeclared", "route": "/undeclared"},
    ),
    "no such path": (
        *("GET", "/nowhere/at/all", ["reports:read"], 404),
        {**DENIED, **OLGA, **UNTOLD, "rule": "no_route", "route": "/nowhere/at/all"},
    ),
    "no such path, by nobody": (
        *("GET", "/nowhere", None, 401),
        {**DENIED, **NOBODY, **UNTOLD, "rule": "no_credentials", "route": "/nowhere"},
    ),
    "no such path, by the administrator": (
        *("GET", "/nowhere", ["agent_os:admin"], 404),
        {**ALLOWED, **UNTOLD, "rule": "admin", "route": "/nowhere"},
    ),
    "another method": (
        *("DELETE", "/reports/7", ["reports:read"], 405),
        {**DENIED, "status": 405, "rule": "method", "route": "/reports/{report_id}"},
    ),
    "an unknown method": (
        *("PROPFIND", "/reports/7", ["reports:read"], 405),
        {**DENIED, "status": 405, "method": "PROPFIND"},
    ),
    "an authorizer says no": (
        *("GET", "/reports/sunday", ["reports:read"], 403),
        {
            **DENIED,
            **OLGA,
            "rule": "calendar",
            "reason": "it is sunday\N{REPLACEMENT CHARACTER}and a line of its own",
            "resource_id": "sunday",
        },
    ),
    "an authorizer that fails": (
        *("GET", "/reports/broken", ["reports:read"], 503),
        {
            **DENIED,
            "status": 503,
            "rule": "Engine",
            "reason": "the authorizer Engine failed",
            "resource_id": "broken",
        },
    ),
    "a route class with a matching of its own": (
        *("GET", "/forged", ["reports:read"], 403),
        {**DENIED, "rule": "undeclared", "route": "/forged"},
    ),
}


@pytest.mark.parametrize("which", ANSWERS)
def test_an_answer_leaves_exactly_one_record(at: Served, which: str) -> None:
    method, path, scopes, status, expected = ANSWERS[which]
    visits = at.visits.count
    headers = {} if scopes is None else at.world.bearer(OWNER, *scopes, jti="t-1")
    before_us = time.time_ns() // 1000
    answer = at.ask(method, path, {**headers, "X-Request-ID": "id-1"})
    after_us = time.time_ns() // 1000
    assert answer.status_code == status
    record = at.one()
    assert fields(record, *expected) == expected
    usual: dict[str, Any] = {"method": method, "request_id": "id-1", "client": "127.0.0.1"}
    if expected["decision"] == "deny":
        usual["status"] = status
        assert at.visits.count == visits
    assert fields(record, *usual) == usual
    assert before_us <= record.time_us <= after_us
    assert 0 < record.latency_us <= after_us - before_us + 1
    assert record.reason
    assert record.rule


@pytest.mark.parametrize("path", ["/open", "/health", "/openapi.json", "/docs", "/info"])
@pytest.mark.parametrize("who", ["nobody", "somebody", "a liar"])
def test_public_routes_leave_none(at: Served, path: str, who: str) -> None:
    headers = {
        "nobody": {},
        "somebody": at.world.bearer(OWNER, "agents:read"),
        "a liar": {"Authorization": "Bearer nothing"},
    }[who]
    for method in ("GET", "HEAD"):
        assert at.ask(method, path, headers).status_code < 400
    at.ask("GET", "/reports/7")
    assert at.one().route == "/reports/{report_id}"


class TestWebSockets:
    def address(self, at: Served, path: str = "/live") -> str:
        return f"ws://{at.live.host}:{at.live.port}{path}"

    def test_a_handshake_that_is_let_in_leaves_one(self, at: Served) -> None:
        headers = {**at.world.bearer(OWNER, "reports:read", jti="t-1"), "X-Request-ID": "id-1"}
        with ws.connect(self.address(at), additional_headers=headers) as link:
            assert link.recv() == "visited"
        expected = {**ALLOWED, **OLGA, "method": "WEBSOCKET", "route": "/live"}
        assert fields(at.one(), *expected) == expected

    @pytest.mark.parametrize(
        ("scopes", "path", "status", "rule"),
        [
            (None, "/live", 401, "no_credentials"),
            ([], "/live", 403, "scope:reports:read"),
            (["reports:read"], "/dead", 404, "no_route"),
        ],
    )
    def test_one_that_is_refused_too(
        self, at: Served, scopes: list[str] | None, path: str, status: int, rule: str
    ) -> None:
        headers = {} if scopes is None else at.world.bearer(OWNER, *scopes)
        with (
            pytest.raises(InvalidStatus) as refused,
            ws.connect(self.address(at, path), additional_headers=headers),
        ):
            pass
        assert refused.value.response.status_code == status
        expected = {**DENIED, "status": status, "rule": rule, "method": "WEBSOCKET", "route": path}
        assert fields(at.one(), *expected) == expected


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose keys have names, and that takes cookies too."""
    world = World(tokens=TokenFactory(key_id="k-1"))
    file = tmp_path_factory.mktemp("keys") / "jwks.json"
    file.write_text(key_set(world.tokens))
    config = AuthorizationConfig(
        jwks_file=str(file), token_source=TokenSource.BOTH, scope_mappings=MAPPED
    )
    agent_os = AgentOS(
        id=OS_ID,
        agents=[],
        db=world.db,
        base_app=Visits().app(),
        audit=BLOCKING,
        authorization=True,
        authorization_config=config,
    )
    with serve(agent_os.get_app()) as live:
        yield Served(world, live, Visits())


class TestBadCredentials:
    @pytest.mark.parametrize(
        ("rule", "status"),
        [
            ("authorization_header", 401),
            ("token_refused", 401),
            ("token_expired", 401),
            ("token_signature", 401),
            ("token_key", 401),
            ("several_credentials", 401),
            ("cross_site", 403),
        ],
    )
    def test_each_reason_has_a_code_and_nothing_of_the_token(
        self, strict: Served, rule: str, status: int
    ) -> None:
        tokens = strict.world.tokens
        good = tokens.token(OWNER, scopes=["reports:read"], jti="an-id-of-ones-own")
        other = TokenFactory(fresh_key=True, key_id="k-1").token(OWNER)
        headers = {
            "authorization_header": [("Authorization", f"Basic {good}")],
            "token_refused": [("Authorization", f"Bearer {good.rpartition('.')[0]}")],
            "token_expired": [("Authorization", f"Bearer {tokens.token(OWNER, exp=1)}")],
            "token_signature": [("Authorization", f"Bearer {other}")],
            "token_key": [("Authorization", f"Bearer {_of_another_key()}")],
            "several_credentials": [
                ("Authorization", f"Bearer {good}"),
                ("Cookie", f"access_token={good}"),
            ],
            "cross_site": [("Cookie", f"access_token={good}"), ("Origin", "https://evil.test")],
        }[rule]
        strict.trail.news()
        answer = httpx.post(f"{strict.live.url}/reports/7", headers=headers)
        assert answer.status_code == status
        record = strict.one()
        expected = {**DENIED, **NOBODY, "status": status, "rule": rule, "method": "POST"}
        assert fields(record, *expected) == expected
        assert_nothing_of(record, *(value for _, value in headers))

    def test_somebody_who_was_revoked_is_named(self, strict: Served) -> None:
        admin = strict.world.admin()
        body = {"token_id": "t-9"}
        assert strict.ask("POST", "/revocations", admin, json=body).status_code == 201
        strict.trail.news()
        gone = strict.world.bearer("sten", "reports:read", jti="t-9")
        assert strict.ask("GET", "/reports/7", gone).status_code == 401
        expected = {**DENIED, "status": 401, "rule": "token_revoked", "token_id": "t-9"}
        record = strict.one()
        assert fields(record, *expected) == expected
        assert (record.subject, record.issuer_alias, record.credential) == (
            "sten",
            "default",
            "jwt",
        )


def _of_another_key() -> str:
    return TokenFactory(fresh_key=True, key_id="k-2").token(OWNER)


def assert_nothing_of(record: AuditRecord, *secrets: str) -> None:
    """No part of a secret, of twelve characters or more, is anywhere in a record."""
    text = repr(record)
    for secret in secrets:
        for part in secret.replace("=", " ").replace(".", " ").split():
            assert len(part) < 12 or part not in text


def test_who_fails_too_often_is_recorded_each_time() -> None:
    with served(settings=Settings(max_failed_authentications=2)) as at:
        forged = TokenFactory(fresh_key=True)
        for number, status in enumerate((401, 401, 429, 429)):
            headers = {"Authorization": f"Bearer {forged.token(f'u{number}')}"}
            assert at.ask("GET", "/reports/7", headers).status_code == status
        told = [(record.status, record.rule) for record in at.trail.news()]
    assert told[2:] == [(429, "too_many_failures")] * 2
    assert [status for status, _ in told[:2]] == [401, 401]


def test_where_nobody_can_say_at_present_that_is_recorded() -> None:
    with served(config={"jwks_url": "http://127.0.0.1:9/keys", "scope_mappings": MAPPED}) as at:
        headers = {"Authorization": f"Bearer {_of_another_key()}"}
        assert at.ask("GET", "/reports/7", headers).status_code == 503
        expected = {**DENIED, **NOBODY, "status": 503, "rule": "unavailable"}
        record = at.one()
    assert fields(record, *expected) == expected


class TestServiceAccounts:
    def made(self, at: Served, *scopes: str) -> dict[str, Any]:
        body = {"name": f"robot-{time.time_ns()}", "scopes": list(scopes)}
        answer = at.ask("POST", "/service-accounts", at.world.admin(), json=body)
        at.trail.news()
        found: dict[str, Any] = answer.json()
        return found

    def test_one_is_named_by_its_id_and_never_by_its_token(self, at: Served) -> None:
        account = self.made(at, "agents:read")
        bearer = {"Authorization": f"Bearer {account['token']}"}
        assert at.ask("GET", "/agents", bearer).status_code == 200
        assert at.ask("GET", "/config", bearer).status_code == 403
        for record, decision in zip(at.trail.news(), ("allow", "deny"), strict=True):
            expected = {
                "decision": decision,
                "issuer_alias": "@service",
                "subject": f"sa:{account['name']}",
                "token_id": account["id"],
                "credential": "service_account",
            }
            assert fields(record, *expected) == expected
            assert_nothing_of(record, account["token"], account["token"].removeprefix("licet_sa_"))

    @pytest.mark.parametrize("spoil", [lambda t: t[:-1], lambda t: t[:-1] + "x", lambda t: t * 2])
    def test_a_token_that_is_none_leaves_nothing_of_it(
        self, at: Served, spoil: Callable[[str], str]
    ) -> None:
        token = spoil(self.made(at, "agents:read")["token"])
        bearer = {"Authorization": f"Bearer {token}"}
        assert at.ask("GET", "/agents", bearer).status_code == 401
        record = at.one()
        assert record.credential == "none"
        assert_nothing_of(record, token, token.removeprefix("licet_sa_"))

    def test_who_grants_more_than_they_hold_is_let_in_and_then_refused(self, at: Served) -> None:
        minter = at.world.bearer(OWNER, "service_accounts:write", jti="t-1")
        headers = {**minter, "X-Request-ID": "id-7"}
        body = {"name": "robot", "scopes": ["agents:run"]}
        assert at.ask("POST", "/service-accounts", headers, json=body).status_code == 403
        allowed, denied = at.trail.news()
        expected = {**ALLOWED, **OLGA, "action": "service_accounts:write"}
        assert fields(allowed, *expected) == expected
        expected = {
            **OLGA,
            "kind": "grant",
            "decision": "deny",
            "status": 403,
            "rule": "not_yours_to_grant",
            "reason": "Cannot grant scope(s) you do not hold: agents:run",
            "method": "POST",
            "route": "/service-accounts",
            "request_id": "id-7",
            "client": "127.0.0.1",
        }
        assert fields(denied, *expected) == expected
        assert denied.time_us >= allowed.time_us


# What a client can send

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJvbGdhIn0.c2lnbmF0dXJl"
WILD = {
    "NUL": "/reports/%00",
    "a surrogate": "/reports/%ed%a0%80",
    "no UTF-8": "/reports/%ff%fe",
    "line breaks": "/reports/a%0d%0ab",
    "an escape": "/reports/%1b%5b31m",
    "right to left": "/reports/%e2%80%ae",
    "an anchor": '/reports/{"licet_audit_anchor":1}',
    "long": "/reports/" + "x" * 10_000,
    "long and wide": "/reports/" + "%f0%9f%98%80" * 2_000,
    "long and NUL": "/reports/" + "%00" * 3_000,
    "nowhere": "/" + "%00%ed%a0%80" * 500,
    "backslashes": "/reports/" + "\\" * 300,
    "quotes": "/reports/'; DROP TABLE licet_audit; --".replace(" ", "%20"),
}


@pytest.fixture(params=["in_memory", "sqlite", "postgres"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """Served, with each database."""
    db: Db = InMemoryDb()
    if request.param == "sqlite":
        db = SqliteDb(tmp_path / "licet.db")
    elif request.param == "postgres":
        db = PostgresDb(str(request.getfixturevalue("postgres_url")))
    with served(World(db=db)) as made:
        yield made


def test_whatever_a_path_holds_its_record_is_stored(stored: Served) -> None:
    stored.trail.news()
    headers = stored.world.bearer(OWNER, "reports:read")
    bearer = f"Authorization: {headers['Authorization']}"
    for name, path in WILD.items():
        for lines in ([bearer], []):
            answer = stored.live.get(path, *lines)
            assert status_of(answer) in {200, 401, 404}, name
            record = stored.one()
            assert record.decision == ("allow" if status_of(answer) == 200 else "deny"), name
            for text in (record.resource_id or "", record.route):
                assert storable(text)
                assert text.isprintable()
                assert len(text) <= 500


def test_two_ids_that_are_printable_stay_what_they_are(stored: Served) -> None:
    headers = stored.world.bearer(OWNER, "reports:read")
    stored.trail.news()
    for quoted, shown in (("%e2%82%ac%20b", "€ b"), ("%f0%9f%98%80", "😀"), ("a%2Bb", "a+b")):
        stored.ask("GET", f"/reports/{quoted}", headers)
        assert stored.one().resource_id == shown


@pytest.mark.parametrize("method", ["GET" * 200, "\N{SNOWMAN}", "a\0b", "get"])
def test_a_method_that_is_none_is_no_matter(method: str) -> None:
    """Servers let some of these through; whatever comes is stored."""
    db = InMemoryDb()
    auditing = build_auditing(BLOCKING, db=db, os_id="os")
    scope: dict[str, Any] = {"type": "http", "method": method, "path": "/", "headers": []}

    async def recorded() -> list[AuditRecord]:
        assert await auditing.record_denial(scope, Denial.absent(), rule="no_route") is None
        await auditing.close()
        return list(await db.audit().find(AuditQuery()))

    (record,) = asyncio.run(recorded())
    assert record.method.isprintable()
    assert (record.client, record.request_id, record.latency_us) == (None, "", 0)


@pytest.mark.parametrize(
    "place", ["the query", "a cookie", "another header", "the user agent", "the body"]
)
def test_a_token_somewhere_else_is_in_no_record(at: Served, place: str) -> None:
    places: dict[str, dict[str, Any]] = {
        "the query": {"params": {"access_token": TOKEN}},
        "a cookie": {"headers": {"Cookie": f"access_token={TOKEN}"}},
        "another header": {"headers": {"X-Authorization": f"Bearer {TOKEN}"}},
        "the user agent": {"headers": {"User-Agent": TOKEN}},
        "the body": {"content": f"access_token={TOKEN}"},
    }
    answer = httpx.post(f"{at.live.url}/reports/7", **places[place])
    assert answer.status_code == 401
    assert_nothing_of(at.one(), TOKEN)


@pytest.mark.parametrize("request_id", ["id 1", TOKEN + "!", "x" * 129, "a\tb"])
def test_a_request_id_that_is_none_is_in_no_record(at: Served, request_id: str) -> None:
    answer = at.ask("GET", "/reports/7", {"X-Request-ID": request_id})
    record = at.one()
    assert record.request_id == answer.headers["x-request-id"] != request_id


# Which decisions

KEPT = {
    "all": ["GET allow", "POST allow", "GET deny", "POST deny", "WEBSOCKET allow", "grant deny"],
    "mutations": ["POST allow", "GET deny", "POST deny", "WEBSOCKET allow", "grant deny"],
    "denials": ["GET deny", "POST deny", "grant deny"],
}


@pytest.mark.parametrize("keep", Keep)
def test_the_policy_says_which_decisions_are_kept(keep: Keep) -> None:
    audit = AuditConfig(keep=keep, mode="blocking", anchors=(), timeout_seconds=20)
    with served(audit=audit) as at:
        may = at.world.bearer(OWNER, "reports:read", "reports:write")
        for headers in (may, {}):
            for method in ("GET", "POST"):
                at.ask(method, "/reports/7", headers)
        address = f"ws://{at.live.host}:{at.live.port}/live"
        with ws.connect(address, additional_headers=may) as link:
            link.recv()
        minter = at.world.bearer(OWNER, "service_accounts:write")
        body = {"name": "robot", "scopes": ["agents:run"]}
        assert at.ask("POST", "/service-accounts", minter, json=body).status_code == 403
        told = [
            f"{'grant' if r.kind == 'grant' else r.method} {r.decision}"
            for r in at.trail.news()
            if r.action != "service_accounts:write"
        ]
    assert told == KEPT[keep.value]


# Loopback only


def test_where_authorization_is_off_refusals_are_recorded_and_nothing_else() -> None:
    db = InMemoryDb()
    agent_os = AgentOS(agents=[], db=db, audit=BLOCKING)
    with serve(agent_os.get_app()) as live:
        trail = Trail(db)
        assert httpx.get(f"{live.url}/agents").status_code == 200
        assert httpx.get(f"{live.url}/nowhere").status_code == 404
        assert trail.news() == []
        answer = httpx.get(
            f"{live.url}/agents", headers={"Host": "evil.test", "X-Request-ID": "id-1"}
        )
        assert answer.status_code == 403
        (record,) = trail.news()
    expected = {
        **DENIED,
        **NOBODY,
        **UNTOLD,
        "status": 403,
        "rule": "loopback_only",
        "route": "/agents",
        "request_id": "id-1",
        "client": "127.0.0.1",
    }
    assert fields(record, *expected) == expected
    assert "does not name this machine" in record.reason


def test_what_a_public_route_decides_by_itself_can_be_recorded() -> None:
    db = InMemoryDb()
    scope = {"type": "http", "method": "POST", "path": "/logout", "headers": []}

    async def recorded(keep: str) -> list[tuple[str, int | None, str]]:
        audit = AuditConfig(keep=keep, mode="blocking", anchors=())
        auditing = build_auditing(audit, db=db, os_id="os")
        for status in (None, 400):
            answer = await auditing.record_public(
                scope, rule="logout", status=status, reason="because"
            )
            assert answer is None
        await auditing.close()
        found = await db.audit().find(AuditQuery(oldest_first=True))
        return [(r.decision, r.status, r.route) for r in found]

    assert asyncio.run(recorded("denials")) == [("deny", 400, "/logout")]
    assert asyncio.run(recorded("all"))[1:] == [
        ("allow", None, "/logout"),
        ("deny", 400, "/logout"),
    ]


# Other sinks


def test_each_sink_gets_each_decision(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "licet.audit.events")
    file = tmp_path / "audit.jsonl"
    audit = AuditConfig(
        mode="blocking", sinks=[FileSink(file), LogSink()], anchors=(), timeout_seconds=20
    )
    with served(audit=audit) as at:
        at.ask("GET", "/reports/7")
        record = at.one()
    (line,) = file.read_text().splitlines()
    assert json.loads(line) == {name: getattr(record, name) for name in json.loads(line)}
    (said,) = [r.getMessage() for r in caplog.records if r.name == "licet.audit.events"]
    assert said == line


def test_without_a_database_the_other_sinks_are_all_there_is(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    audit = AuditConfig(mode="blocking", database=False, sinks=[FileSink(file)])
    with served(audit=audit) as at:
        at.ask("GET", "/reports/7")
        assert at.trail.news() == []
        assert asyncio.run(at.world.db.audit().last_writer()) is None
    assert len(file.read_text().splitlines()) == 1


def test_without_any_sink_audit_is_off_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with served(audit=AuditConfig(database=False)) as at:
        assert at.ask("GET", "/reports/7").status_code == 401
        minter = at.world.bearer(OWNER, "service_accounts:write")
        body = {"name": "robot", "scopes": ["agents:run"]}
        assert at.ask("POST", "/service-accounts", minter, json=body).status_code == 403
        assert at.trail.news() == []
    assert "AUDIT IS OFF: what is decided is not recorded" in caplog.messages


def test_a_sink_that_cannot_start_stops_the_start(tmp_path: Path) -> None:
    audit = AuditConfig(sinks=[FileSink(tmp_path / "nowhere" / "audit.jsonl")])
    with pytest.raises(RuntimeError, match="did not start"), served(audit=audit):
        pass


async def test_a_sink_that_does_not_close_keeps_no_other_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed = []

    class Sink(LogSink):
        async def close(self) -> None:
            closed.append(self)
            raise OSError("stuck")

    auditing = Auditing([Recorder(Sink()), Recorder(Sink())])
    await auditing.start()
    await auditing.close()
    assert len(closed) == 2
    assert [r.getMessage() for r in caplog.records] == ["an audit sink did not close"] * 2


# Which key


@pytest.mark.parametrize(
    ("key", "environ", "signed"),
    [
        (None, {}, False),
        (None, {"LICET_AUDIT_KEY": "   "}, False),
        (None, {"LICET_AUDIT_KEY": "s" * 32}, True),
        ("t" * 32, {}, True),
        ("t" * 32, {"LICET_AUDIT_KEY": "s" * 32}, True),
        (TokenFactory("EdDSA").private_key, {}, True),
    ],
    ids=["none", "empty", "environment", "setting", "both", "Ed25519"],
)
def test_the_chain_is_signed_with_the_key_that_is_set(
    key: str | None, environ: dict[str, str], *, signed: bool
) -> None:
    db = InMemoryDb()
    auditing = build_auditing(AuditConfig(key=key, anchors=()), db=db, os_id="os", environ=environ)

    async def writer() -> Any:
        await auditing.start()
        await auditing.close()
        return await db.audit().last_writer()

    found = asyncio.run(writer())
    assert (found.key_id is not None) is signed
    assert found.os_id == "os"
    if key is not None:
        report = asyncio.run(verify(db.audit(), verifiers=[load_signer(key)]))
        assert report.findings == []


def test_a_key_that_is_none_refuses_to_start() -> None:
    with pytest.raises(ConfigurationError, match="the audit key has 5 bytes"):
        build_auditing(
            AuditConfig(), db=InMemoryDb(), os_id="os", environ={"LICET_AUDIT_KEY": "short"}
        )


# A database that is blocked


class Lock:
    """Holds the audit tables, as a long transaction of somebody else would."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None

    def __enter__(self) -> Self:
        if self._url.startswith("sqlite"):
            self._connection = sqlite3.connect(
                self._url.removeprefix("sqlite:///"), check_same_thread=False
            )
            self._connection.isolation_level = None
            self._connection.execute("BEGIN IMMEDIATE")
        else:
            self._connection = psycopg.connect(self._url.replace("+psycopg", ""))
            self._connection.execute("LOCK TABLE licet_audit_batches IN EXCLUSIVE MODE")
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.rollback()
            connection.close()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'licet.db'}"
    return str(request.getfixturevalue("postgres_url"))


def db_of(url: str) -> Db:
    return SqliteDb(db_url=url) if url.startswith("sqlite") else PostgresDb(url)


def wait_until(holds: Callable[[], bool], *, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


def collected(trail: Trail, into: list[AuditRecord], count: int) -> bool:
    into += trail.news()
    return len(into) >= count


class TestABlockedDatabase:
    def test_in_the_blocking_mode_nothing_is_done_that_cannot_be_recorded(self, url: str) -> None:
        audit = AuditConfig(mode="blocking", timeout_seconds=0.2, anchors=())
        with served(World(db=db_of(url)), audit=audit) as at:
            may = at.world.bearer(OWNER, "reports:read", "service_accounts:write")
            assert at.ask("GET", "/reports/1", may).status_code == 200
            found = at.trail.news()
            with Lock(url):
                for path, headers in (("/reports/2", may), ("/reports/3", {})):
                    answer = at.ask("GET", path, headers)
                    assert answer.status_code == 503
                    assert answer.json()["detail"].startswith("The decision could not be recorded")
                    assert answer.headers["retry-after"] == "5"
                assert at.visits.count == 1
                assert at.ask("GET", "/health").status_code == 200
            wait_until(lambda: collected(at.trail, found, 4), what="all were written")
            assert at.ask("GET", "/reports/4", may).status_code == 200
            found += at.trail.news()
        # What was refused for want of its record is there all the same, and says so.
        assert [r.resource_id for r in found if r.kind == "request"] == ["1", "2", "3", "4"]
        (gap,) = [r for r in found if r.kind == "gap"]
        assert gap.reason.startswith("2 requests were refused")

    def test_in_the_batched_mode_all_goes_on_and_nothing_is_lost(self, url: str) -> None:
        audit = AuditConfig(batch_seconds=0.01, anchors=())
        with served(World(db=db_of(url)), audit=audit) as at:
            may, found = at.world.bearer(OWNER, "reports:read"), at.trail.news()
            with Lock(url):
                for number in range(40):
                    answer = at.ask("GET", f"/reports/{number}", may)
                    assert answer.status_code == 200
                assert at.trail.news() == []
            wait_until(lambda: collected(at.trail, found, 40), what="all were written")
        assert [r.resource_id for r in found] == [str(n) for n in range(40)]
        assert at.visits.count == 40

    def test_a_server_that_stops_waits_for_what_it_has_acknowledged(self, url: str) -> None:
        audit = AuditConfig(batch_seconds=0.01, anchors=())
        with ExitStack() as stack:
            at = stack.enter_context(served(World(db=db_of(url)), audit=audit))
            may = at.world.bearer(OWNER, "reports:read")
            lock = Lock(url)
            with lock:
                for number in range(10):
                    assert at.ask("GET", f"/reports/{number}", may).status_code == 200
                stopping = threading.Thread(target=stack.pop_all().close)
                stopping.start()
                wait_until(lambda: not listens(at.live), what="the server takes no more")
                assert stopping.is_alive()
                lock.release()
                stopping.join(DEADLINE_SECONDS)
        assert not stopping.is_alive()
        assert [r.resource_id for r in Trail.of(db_of(url))] == [str(n) for n in range(10)]

    def test_what_waits_is_bounded_and_then_requests_are_refused(self, url: str) -> None:
        audit = AuditConfig(batch_seconds=0.01, max_waiting=5, anchors=())
        with served(World(db=db_of(url)), audit=audit) as at:
            may, found = at.world.bearer(OWNER, "reports:read"), at.trail.news()
            with Lock(url):
                statuses = [
                    at.ask("GET", f"/reports/{number}", may).status_code for number in range(8)
                ]
            assert statuses == [200] * 5 + [503] * 3
            assert at.visits.count == 5
            wait_until(lambda: collected(at.trail, found, 6), what="all were written")
            assert at.ask("GET", "/reports/8", may).status_code == 200
        assert [r.resource_id for r in found[:5]] == ["0", "1", "2", "3", "4"]
        assert found[5].kind == "gap"
        assert found[5].reason.startswith("3 requests were refused")

    def test_a_grant_that_cannot_be_recorded_is_503_too(self, url: str) -> None:
        """The request itself was recorded; what it asked for then is not."""
        audit = AuditConfig(batch_seconds=0.01, max_waiting=1, anchors=())
        with served(World(db=db_of(url)), audit=audit) as at:
            minter = at.world.bearer(OWNER, "service_accounts:write")
            body = {"name": "robot", "scopes": ["agents:run"]}
            with Lock(url):
                answer = at.ask("POST", "/service-accounts", minter, json=body)
            assert answer.status_code == 503


def listens(live: LiveServer) -> bool:
    try:
        socket.create_connection((live.host, live.port), 1).close()
    except OSError:
        return False
    return True


# Without a lifespan


async def test_an_app_that_is_served_without_its_lifespan_records_too() -> None:
    world = World()
    app = world.agent_os(audit=BLOCKING).get_app()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        assert (await client.get("/agents")).status_code == 401
        assert (await client.get("/agents", headers=world.admin())).status_code == 200
    found = await world.db.audit().find(AuditQuery(oldest_first=True))
    assert [(r.decision, r.subject) for r in found] == [("deny", None), ("allow", ADMIN)]
    agent_os = app.state.agent_os
    await agent_os.auditing.close()


async def test_a_record_that_cannot_be_taken_is_logged_with_its_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Full(Recorder):
        async def record(self, event: AuditEvent) -> None:
            assert event.request_id == "id-1"
            raise AuditUnavailableError("no room")

    auditing = Auditing([Full(LogSink())])
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [],
        "licet.request_id": "id-1",
    }
    refusal = await auditing.record_denial(scope, Denial.absent(), rule="no_route")
    assert refusal == Denial.unrecorded()
    assert caplog.messages == ["request id-1 is refused: no room"]


def test_the_database_sink_comes_first() -> None:
    """A refusal because of it leaves the others without the record."""
    auditing = build_auditing(AuditConfig(sinks=[LogSink()]), db=InMemoryDb(), os_id="os")
    kinds = [type(recorder._sink) for recorder in auditing._recorders]
    assert kinds == [DbSink, LogSink]
