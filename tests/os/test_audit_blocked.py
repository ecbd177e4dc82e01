"""A trail that cannot be written for a while: nothing is lost, and nothing goes unrecorded."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from licet.audit import AuditConfig
from licet.db.audit_records import AuditRecord
from licet.db.base import Db
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from tests.support.audited import Trail, served
from tests.support.live import LiveServer
from tests.support.postgres import postgres_server, postgres_url
from tests.support.world import OWNER, World

__all__ = ["postgres_server", "postgres_url"]

DEADLINE_SECONDS = 30.0


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
