"""Which decisions are kept, also where authorization is off or a route decides by itself."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import websockets.sync.client as ws

from licet.audit import AuditConfig, Keep
from licet.db.audit_records import AuditQuery
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS
from licet.os.auditing import build_auditing
from tests.support.audited import BLOCKING, DENIED, NOBODY, UNTOLD, Trail, fields, served
from tests.support.live import serve
from tests.support.world import OWNER

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
