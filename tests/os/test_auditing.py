"""What is decided is in the audit trail: once, with all that is known, and nothing of a token."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
import websockets.sync.client as ws
from websockets.exceptions import InvalidStatus

from licet.audit import AuditConfig, AuditEvent, LogSink
from licet.audit.db_sink import DbSink
from licet.audit.recorder import AuditUnavailableError, Recorder
from licet.db.audit_records import AuditQuery
from licet.db.in_memory import InMemoryDb
from licet.os.auditing import Auditing, build_auditing
from licet.os.denial import Denial
from tests.support.audited import (
    ALLOWED,
    BLOCKING,
    DENIED,
    NOBODY,
    OLGA,
    REPORT,
    UNTOLD,
    Served,
    at,
    fields,
    house,
)
from tests.support.world import ADMIN, OWNER, World

__all__ = ["at", "house"]

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
