"""Whatever a client sends: its record is stored, and holds no token."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet.db.audit_records import AuditQuery, AuditRecord
from licet.db.base import Db
from licet.db.codec import storable
from licet.db.in_memory import InMemoryDb
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.os.auditing import build_auditing
from licet.os.denial import Denial
from tests.support.audited import BLOCKING, Served, assert_nothing_of, at, house, served
from tests.support.live import status_of
from tests.support.postgres import postgres_server, postgres_url
from tests.support.world import OWNER, World

__all__ = ["at", "house", "postgres_server", "postgres_url"]

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
