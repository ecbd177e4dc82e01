from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from websockets.sync.client import connect

from licet.authz.authorizer import AccessRequest
from licet.authz.decision import Decision, deny
from tests.support.live import serve
from tests.support.world import OWNER, SESSION_ID
from tests.telemetry.conftest import Observed


class Never:
    """An authorizer that denies, or cannot find out."""

    def __init__(self, *, breaks: bool) -> None:
        self._breaks = breaks

    async def authorize(self, _request: AccessRequest) -> Decision:
        if self._breaks:
            raise ConnectionError("secret")
        return deny("closed on sundays", "calendar")


def told(observed: Observed) -> list[tuple[Any, Any]]:
    """Decision and rule of each request, in their order."""
    spans = observed.seen("authorize")
    found = [dict(span.attributes or {}) for span in spans]
    return [(one.get("licet.decision"), one.get("licet.rule")) for one in found]


def test_each_outcome_is_told_with_its_rule(observed: Observed) -> None:
    with observed.served() as client:
        client.get("/agents", headers=observed.world.bearer(OWNER, "agents:read"))
        client.get("/agents", headers=observed.world.bearer(OWNER))
        client.get("/agents")
        client.get("/agents", headers={"Authorization": "Bearer junk"})
        client.get("/nothing", headers=observed.world.bearer(OWNER))
        client.put("/agents", headers=observed.world.bearer(OWNER))
        client.get("/info")
    assert told(observed) == [
        ("allow", "scope:agents:read"),
        ("deny", "scope:agents:read"),
        ("unauthenticated", "no_credentials"),
        ("unauthenticated", "token_refused"),
        ("no_route", "no_route"),
        ("no_route", "method"),
        ("allow", "public"),
    ]


def test_decisions_are_counted_by_outcome_and_permission(observed: Observed) -> None:
    with observed.served() as client:
        for _ in range(2):
            client.get(f"/sessions/{SESSION_ID}", headers=observed.world.bearer(OWNER))
        client.get("/agents")
        # What is public was not decided.
        client.get("/info")
    assert observed.counted("licet.decisions") == [
        ({"licet.decision": "deny", "licet.action": "sessions:read"}, 2),
        ({"licet.decision": "unauthenticated", "licet.action": "agents:read"}, 1),
    ]


@pytest.mark.parametrize(
    ("breaks", "outcome", "rule"),
    [(False, "deny", "calendar"), (True, "unavailable", "Never")],
    ids=["denies", "cannot find out"],
)
def test_an_authorizers_word_is_told(
    observed: Observed,
    breaks: bool,  # noqa: FBT001 - a case
    outcome: str,
    rule: str,
) -> None:
    with observed.served(authorizers=[Never(breaks=breaks)]) as client:
        client.get("/agents", headers=observed.world.admin())
    ((decision, by),) = told(observed)
    assert decision == outcome
    assert rule in by
    assert "secret" not in "".join(span.to_json() for span in observed.seen("authorize"))


def test_a_decision_tells_whom_and_what_it_is_about(observed: Observed) -> None:
    with observed.served() as client:
        client.get(f"/sessions/{SESSION_ID}", headers=observed.world.bearer(OWNER))
    (span,) = observed.seen("authorize")
    about = {
        "licet.action": "sessions:read",
        "licet.resource": "sessions",
        "licet.resource.id": SESSION_ID,
        "licet.principal.issuer": "default",
        "licet.principal.subject": OWNER,
    }
    assert about.items() <= dict(span.attributes or {}).items()


def test_a_handshake_is_decided_and_told_like_a_request(observed: Observed) -> None:
    app = FastAPI()

    @app.websocket("/live/{name}")
    async def live(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        await websocket.close()

    agent_os = observed.world.agent_os(base_app=app, telemetry=observed.telemetry())
    with serve(agent_os.get_app()) as server:
        url = server.url.replace("http", "ws") + "/live/sten"
        headers = observed.world.admin()
        with connect(url, additional_headers=headers) as socket:
            assert list(socket) == []
        assert httpx.get(server.url + "/health").status_code == 200
    assert told(observed) == [("allow", "admin")]
    (span,) = observed.seen("WEBSOCKET")
    assert span.name == "WEBSOCKET /live/{name}"
    # Only requests are answered: how long a socket was open says nothing.
    measured = observed.counted("http.server.request.duration")
    assert [labels["http.route"] for labels, _ in measured] == ["/health"]
