"""``GET /audit``: what was decided, for who may read it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.audit import AuditConfig, LogSink
from licet.db.audit_records import AuditCursor
from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.errors import InvalidInputError
from licet.os.routes.audit import (
    MAX_RECORDS,
    audit_view,
    cursor_text,
    read_cursor,
    shown_time,
)
from tests.contract.audit_rows import batch, record, records
from tests.support.live import serve
from tests.support.postgres import postgres_server, postgres_url
from tests.support.world import OWNER, World

__all__ = ["postgres_server", "postgres_url"]

# The requests of these tests are not among what they find.
ELSEWHERE = AuditConfig(database=False, sinks=[LogSink()])
DAY_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
SECOND_US = 1_000_000

# Of the first writer; each a second after the one before.
ROWS: list[dict[str, Any]] = [
    {"subject": "olga", "decision": "allow", "resource_id": "alpha"},
    {"subject": "sten", "decision": "deny", "status": 403, "resource_id": "alpha"},
    {"subject": None, "issuer_alias": None, "decision": "deny", "status": 401, "client": "::1"},
    {"subject": "olga", "decision": "deny", "status": 403, "action": "sessions:read"},
    {"subject": "olga", "issuer_alias": "partner", "decision": "allow", "client": "10.0.0.9"},
    {"subject": "olga", "decision": "allow", "kind": "request", "resource_id": "beta"},
]


class Reader:
    """Who reads the trail of a served world, whose own requests are not in it."""

    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self.url = f"{url}/audit"

    def get(self, *scopes: str, **params: Any) -> httpx.Response:
        """GET, with audit:read if no scope is named."""
        headers = self.world.bearer("auditor", *(scopes or ("audit:read",)))
        return httpx.get(self.url, params=params, headers=headers, timeout=20)

    def ids(self, **params: Any) -> list[str]:
        """The request ids that are answered."""
        answer = self.get(**params)
        assert answer.status_code == 200, answer.text
        return [row["request_id"] for row in answer.json()["data"]]

    def pages(self, **params: Any) -> list[list[str]]:
        """The request ids of each page."""
        found, before = [], None
        while True:
            answer = self.get(**params, **({} if before is None else {"before": before})).json()
            found.append([row["request_id"] for row in answer["data"]])
            before = answer["meta"]["next"]
            if before is None:
                return found


@pytest.fixture(scope="module", params=["in_memory", "sqlite", "postgres"])
def reader(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reader]:
    db: Db = InMemoryDb()
    if request.param == "sqlite":
        db = SqliteDb(tmp_path_factory.mktemp("audit") / "licet.db")
    elif request.param == "postgres":
        db = PostgresDb(str(request.getfixturevalue("module_url")))
    asyncio.run(_filled(db))
    world = World(db=db)
    with serve(world.agent_os(audit=ELSEWHERE).get_app()) as live:
        yield Reader(world, live.url)


@pytest.fixture(scope="module")
def module_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A schema that all tests of the module share."""
    from tests.support.postgres import fresh_schema

    with fresh_schema(request.getfixturevalue("postgres_server")) as url:
        yield url


async def _filled(db: Db) -> None:
    await db.open()
    of = [
        record(
            seq,
            **{
                "time_us": DAY_US + seq * SECOND_US,
                "issuer_alias": "default",
                "client": None,
                **row,
            },
        )
        for seq, row in enumerate(ROWS, 1)
    ]
    await db.audit().append(batch(of), of)
    await db.close()


def test_the_latest_come_first(reader: Reader) -> None:
    assert reader.ids() == [f"request-{seq}" for seq in (6, 5, 4, 3, 2, 1)]


def test_a_record_tells_all_that_is_known(reader: Reader) -> None:
    row = reader.get(request_id="request-2").json()["data"][0]
    assert row == {
        "time": "2026-01-01T00:00:02Z",
        "time_us": DAY_US + 2 * SECOND_US,
        "request_id": "request-2",
        "kind": "request",
        "decision": "deny",
        "status": 403,
        "rule": "scope:agents:run",
        "reason": "a scope of the token allows it",
        "issuer": "default",
        "subject": "sten",
        "credential": "jwt",
        "token_id": "t-1",
        "action": "agents:run",
        "resource": "agents",
        "resource_id": "alpha",
        "method": "POST",
        "route": "/agents/{agent_id}/runs",
        "client": None,
        "latency_us": 120,
        "writer": "w",
        "seq": 2,
    }


@pytest.mark.parametrize(
    ("params", "seqs"),
    [
        ({"decision": "deny"}, [4, 3, 2]),
        ({"decision": "allow"}, [6, 5, 1]),
        ({"subject": "olga"}, [6, 5, 4, 1]),
        ({"subject": "olga", "issuer": "partner"}, [5]),
        ({"subject": "Olga"}, []),
        ({"subject": ""}, []),
        ({"subject": "x\0y"}, []),
        ({"issuer": "default"}, [6, 4, 2, 1]),
        ({"action": "sessions:read"}, [4]),
        ({"resource_id": "alpha"}, [2, 1]),
        ({"request_id": "request-3"}, [3]),
        ({"client": "10.0.0.9"}, [5]),
        ({"client": "::1", "decision": "deny"}, [3]),
        ({"client": "::1", "decision": "allow"}, []),
        ({"since": DAY_US / 1e6 + 4}, [6, 5, 4]),
        ({"until": DAY_US / 1e6 + 2}, [2, 1]),
        ({"since": DAY_US / 1e6 + 2, "until": DAY_US / 1e6 + 3}, [3, 2]),
        ({"since": DAY_US / 1e6 + 2.000_001}, [6, 5, 4, 3]),
        ({"since": 253_402_300_799}, []),
        ({"until": 0}, []),
        ({"limit": 2}, [6, 5]),
    ],
    ids=str,
)
def test_filters_leave_out_what_does_not_fit(
    reader: Reader, params: dict[str, Any], seqs: list[int]
) -> None:
    assert reader.ids(**params) == [f"request-{seq}" for seq in seqs]


def test_a_time_that_was_read_finds_its_record(reader: Reader) -> None:
    for row in reader.get().json()["data"]:
        seconds = row["time_us"] / 1e6
        assert reader.ids(since=seconds, until=seconds) == [row["request_id"]]


@pytest.mark.parametrize("limit", [1, 2, 4, 6, 7])
def test_page_after_page_shows_each_once(reader: Reader, limit: int) -> None:
    pages = reader.pages(limit=limit)
    assert [name for page in pages for name in page] == reader.ids()
    assert all(len(page) == limit for page in pages[:-1])
    assert [n for page in reader.pages(limit=limit, subject="olga") for n in page] == [
        f"request-{seq}" for seq in (6, 5, 4, 1)
    ]


@pytest.mark.parametrize(
    "params",
    [
        {"decision": "maybe"},
        {"since": "yesterday"},
        {"since": -1},
        {"since": "nan"},
        {"until": "inf"},
        {"until": 253_402_300_800},
        {"limit": 0},
        {"limit": MAX_RECORDS + 1},
        {"limit": "all"},
        {"before": ""},
        {"before": "x"},
        {"before": "1.2"},
        {"before": "1.2."},
        {"before": "1.x.w"},
        {"before": "99999999999999999999.1.w"},
        {"before": f"1.2.{'w' * 801}"},
        {"before": "１.2.w"},  # noqa: RUF001 - a digit, and none of ours
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_422(reader: Reader, params: dict[str, Any]) -> None:
    answer = reader.get(**params)
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["loc"] == ["query", next(iter(params))]


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        (("audit:read",), 200),
        (("audit:*:read",), 403),
        (("agent_os:admin",), 200),
        (("audit:write",), 403),
        (("audit:w:read",), 403),
        (("agents:read", "sessions:read", "config:read", "revocations:read"), 403),
    ],
)
def test_only_who_may_read_the_trail_reads_it(
    reader: Reader, scopes: tuple[str, ...], status: int
) -> None:
    answer = reader.get(*scopes)
    assert answer.status_code == status
    if status == 403:
        assert "audit:read" in answer.json()["detail"]
        assert "request-1" not in answer.text
    assert httpx.get(reader.url).status_code == 401


def test_one_sees_ones_own_request_that_was_refused() -> None:
    world = World()
    audit = AuditConfig(mode="blocking", anchors=(), timeout_seconds=20)
    with serve(world.agent_os(audit=audit).get_app()) as live:
        reader = Reader(world, live.url)
        refused = httpx.get(reader.url, headers=world.bearer(OWNER, "agents:read"))
        assert refused.status_code == 403
        rows = reader.get().json()["data"]
    assert [(row["subject"], row["decision"], row["action"]) for row in rows] == [
        ("auditor", "allow", "audit:read"),
        (OWNER, "deny", "audit:read"),
    ]
    assert rows[1]["request_id"] == refused.headers["x-request-id"]


def test_more_than_a_page_of_one_time_is_paged_through() -> None:
    async def filled(db: Db) -> None:
        for name in ("a", "b", "c"):
            of = records(1, 5, writer_id=name, time_us=DAY_US)
            of = [
                record(r.seq, writer_id=name, time_us=DAY_US, request_id=f"{name}{r.seq}")
                for r in of
            ]
            await db.audit().append(batch(of), of)

    world = World()
    asyncio.run(filled(world.db))
    with serve(world.agent_os(audit=ELSEWHERE).get_app()) as live:
        pages = Reader(world, live.url).pages(limit=4)
    names = [name for page in pages for name in page]
    assert names == sorted((f"{w}{n}" for w in "abc" for n in range(1, 6)), reverse=True)


@given(
    st.integers(-(10**18), 10**18),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.integers(-(10**18), 10**18),
)
def test_a_place_is_read_back_as_it_was(time_us: int, writer_id: str, seq: int) -> None:
    place = AuditCursor(time_us, writer_id, seq)
    assert read_cursor(cursor_text(place)) == place


def test_what_is_no_place_is_told_by_its_parameter() -> None:
    with pytest.raises(InvalidInputError, match=r"query\.before: meta\.next of the page before"):
        read_cursor("nothing")


@pytest.mark.parametrize("time_us", [2**62, -(2**62), "soon", b"\0", 1e300])
def test_a_time_that_somebody_has_forged_hides_no_record(time_us: Any) -> None:
    assert shown_time(time_us) is None
    assert audit_view(record(time_us=time_us))["request_id"] == "request-1"


def test_a_record_with_such_a_time_is_listed_with_the_others(tmp_path: Path) -> None:
    async def filled(db: Db) -> None:
        of = [record(1), record(2, time_us=2**62), record(3, time_us=-(2**62))]
        await db.audit().append(batch(of), of)
        await db.close()

    db = SqliteDb(tmp_path / "licet.db")
    asyncio.run(filled(db))
    world = World(db=db)
    with serve(world.agent_os(audit=ELSEWHERE).get_app()) as live:
        pages = Reader(world, live.url).pages(limit=1)
    assert [name for page in pages for name in page] == ["request-2", "request-1", "request-3"]
