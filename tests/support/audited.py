"""A server whose decisions are read from its audit trail, and what is in their records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.responses import PlainTextResponse

from licet.audit import AuditConfig
from licet.authz.authorizer import AccessRequest
from licet.authz.decision import Decision, deny, no_opinion
from licet.db.audit_records import AuditCursor, AuditQuery, AuditRecord
from licet.db.base import Db
from licet.testing import TokenFactory
from tests.support.live import LiveServer, serve
from tests.support.routes import ForgingRoute
from tests.support.world import OWNER, World

BLOCKING = AuditConfig(mode="blocking", anchors=(), timeout_seconds=20)
MAPPED = {
    "GET /reports/{report_id}": ["reports:{report_id}:read"],
    "POST /reports/{report_id}": ["reports:write"],
    "GET /anything": [],
    "GET /both": ["reports:read", "files:read"],
    "WEBSOCKET /live": ["reports:read"],
}

# What records have in common, by what came of a request.
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
        while self.news():
            pass

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


def of_another_key() -> str:
    return TokenFactory(fresh_key=True, key_id="k-2").token(OWNER)


def assert_nothing_of(record: AuditRecord, *secrets: str) -> None:
    """No part of a secret, of twelve characters or more, is anywhere in a record."""
    text = repr(record)
    for secret in secrets:
        for part in secret.replace("=", " ").replace(".", " ").split():
            assert len(part) < 12 or part not in text
