from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from licet.cli import audit_tail
from licet.cli.audit_tail import Follower
from licet.db.audit_records import AuditQuery, AuditRecord
from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.sqlite import SqliteDb
from tests.cli.conftest import Cli
from tests.cli.programs import APP, OPEN, guarded, write
from tests.contract.audit_rows import batch, record

TAIL = ("audit", "tail", "small")
DAY_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z

ROWS: list[dict[str, Any]] = [
    {},
    {"decision": "deny", "status": 403, "reason": "too little", "subject": "sten"},
    {"decision": "deny", "status": 401, "subject": None, "action": None, "resource_id": None},
    {"issuer_alias": "partner", "action": "sessions:read", "client": None, "resource_id": None},
]


async def append(db: Db, number: int, *of: AuditRecord) -> None:
    given = [
        msgspec.structs.replace(each, writer_id=f"w{number}", seq=seq)
        for seq, each in enumerate(of, 1)
    ]
    await db.audit().append(batch(given), given)


@pytest.fixture
def filled(program: Path) -> Path:
    """The program's database, with four records of which each is a second after the other."""
    of = [record(seq, time_us=DAY_US + seq * 1_000_000, **row) for seq, row in enumerate(ROWS, 1)]
    fill(program, *of)
    return program


def fill(program: Path, *of: AuditRecord) -> None:
    async def work() -> None:
        db = SqliteDb(program / "small.db")
        await append(db, 1, *of)
        await db.close()

    asyncio.run(work())


def test_each_decision_is_a_line_the_latest_last(cli: Cli, filled: Path) -> None:
    result = cli(*TAIL)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        (
            "2026-01-01T00:00:01Z allow main|alice agents:run on helper POST "
            "/agents/{agent_id}/runs [scope:agents:run] a scope of the token allows it "
            "from 127.0.0.1 request-1"
        ),
        (
            "2026-01-01T00:00:02Z deny 403 main|sten agents:run on helper POST "
            "/agents/{agent_id}/runs [scope:agents:run] too little from 127.0.0.1 request-2"
        ),
        (
            "2026-01-01T00:00:03Z deny 401 nobody - POST /agents/{agent_id}/runs "
            "[scope:agents:run] a scope of the token allows it from 127.0.0.1 request-3"
        ),
        (
            "2026-01-01T00:00:04Z allow partner|alice sessions:read POST /agents/{agent_id}/runs "
            "[scope:agents:run] a scope of the token allows it from nowhere request-4"
        ),
    ]


def test_json_is_a_line_for_each_as_the_route_has_it(cli: Cli, filled: Path) -> None:
    from licet.os.routes.audit import audit_view

    rows = [json.loads(line) for line in cli(*TAIL, "--json").stdout.splitlines()]
    assert [row["request_id"] for row in rows] == [f"request-{n}" for n in (1, 2, 3, 4)]
    assert rows[0].keys() == audit_view(record()).keys()
    assert (rows[1]["status"], rows[2]["subject"], rows[3]["client"]) == (403, None, None)


@pytest.mark.parametrize(
    ("options", "seqs"),
    [
        (["--lines", "2"], [3, 4]),
        (["-n", "0"], []),
        (["--decision", "deny"], [2, 3]),
        (["--decision", "allow", "-n", "1"], [4]),
        (["--issuer", "partner"], [4]),
        (["--subject", "sten"], [2]),
        (["--subject", "nobody"], []),
        (["--action", "sessions:read"], [4]),
        (["--request-id", "request-3"], [3]),
        (["--subject", "alice", "--issuer", "main"], [1]),
    ],
)
def test_some_of_them_can_be_asked_for(
    cli: Cli, filled: Path, options: list[str], seqs: list[int]
) -> None:
    lines = cli(*TAIL, *options).stdout.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == [f"request-{n}" for n in seqs]


def test_a_strangers_text_moves_no_cursor(cli: Cli, program: Path) -> None:
    fill(program, record(1, subject="a\x1b[2Jb", reason="x\r\ny", route="\u202e", time_us=2**62))
    (line,) = cli(*TAIL).stdout.splitlines()
    assert line.isprintable()
    assert r"a\u001b[2Jb" in line
    assert line.startswith("None allow ")
    (text,) = cli(*TAIL, "--json").stdout.splitlines()
    assert json.loads(text)["subject"] == "a\x1b[2Jb"


@pytest.mark.parametrize(
    ("program_text", "arguments", "message"),
    [
        (None, ["--decision", "maybe"], "--decision: one of allow, deny, not 'maybe'"),
        (guarded() + APP, [], "small: its database is an InMemoryDb"),
        (OPEN, [], "small: authorization is off"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    cli: Cli, program: Path, program_text: str | None, arguments: list[str], message: str
) -> None:
    if program_text is not None:
        write(program, "small.py", program_text)
    result = cli(*TAIL, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"licet: {message}")
    assert result.stderr.count("\n") == 1


class TestFollowing:
    async def test_what_is_there_is_not_new_and_what_comes_is_once(self) -> None:
        db, now_us = InMemoryDb(), time.time_ns() // 1000
        await append(db, 1, *(record(n, time_us=now_us - 3_000_000) for n in range(1, 5)))
        follower = Follower(db.audit(), AuditQuery())
        await follower.start()
        assert await follower.news() == []
        await append(db, 2, record(5, time_us=now_us), record(6, time_us=now_us))
        assert [r.request_id for r in await follower.news()] == ["request-5", "request-6"]
        assert await follower.news() == []

    async def test_what_comes_late_is_not_missed(self) -> None:
        db, now_us = InMemoryDb(), time.time_ns() // 1000
        await append(db, 1, record(1, time_us=now_us))
        follower = Follower(db.audit(), AuditQuery())
        await follower.start()
        await append(db, 2, record(2, time_us=now_us - 4_000_000))
        assert [r.request_id for r in await follower.news()] == ["request-2"]

    @pytest.mark.parametrize("ahead_us", [60_000_000, 10**17])
    async def test_a_clock_that_is_ahead_hides_nothing_of_the_others(self, ahead_us: int) -> None:
        db, now_us = InMemoryDb(), time.time_ns() // 1000
        follower = Follower(db.audit(), AuditQuery())
        await follower.start()
        await append(db, 1, record(1, time_us=now_us + ahead_us))
        assert [r.request_id for r in await follower.news()] == ["request-1"]
        for number in (2, 3):
            await append(db, number, record(number, time_us=now_us + number))
            assert [r.request_id for r in await follower.news()] == [f"request-{number}"]

    async def test_writers_whose_clocks_are_behind_are_followed_too(self) -> None:
        db, then_us = InMemoryDb(), time.time_ns() // 1000 - 3_600_000_000
        await append(db, 1, record(1, time_us=then_us))
        follower = Follower(db.audit(), AuditQuery())
        await follower.start()
        await append(db, 2, record(2, time_us=then_us + 1))
        assert [r.request_id for r in await follower.news()] == ["request-2"]

    async def test_more_than_a_page_comes_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(audit_tail, "_PAGE", 3)
        db, now_us = InMemoryDb(), time.time_ns() // 1000
        follower = Follower(db.audit(), AuditQuery())
        await follower.start()
        await append(db, 1, *(record(n, time_us=now_us + n) for n in range(1, 12)))
        assert [r.request_id for r in await follower.news()] == [
            f"request-{n}" for n in range(1, 12)
        ]

    async def test_only_what_is_asked_for_is_new(self) -> None:
        db, now_us = InMemoryDb(), time.time_ns() // 1000
        follower = Follower(db.audit(), AuditQuery(decision="deny"))
        await follower.start()
        rows = (record(n, time_us=now_us, decision=d) for n, d in ((1, "allow"), (2, "deny")))
        await append(db, 1, *rows)
        assert [r.request_id for r in await follower.news()] == ["request-2"]

    async def test_what_is_remembered_is_bounded(self) -> None:
        db, now_us = InMemoryDb(), time.time_ns() // 1000
        follower = Follower(db.audit(), AuditQuery())
        await follower.start()
        for number in range(1, 50):
            at_us = now_us - 1_000_000_000 + number * 10_000_000
            await append(db, number, record(number, time_us=at_us))
            follower.mark(record(number, writer_id=f"w{number}", time_us=at_us))
            await follower.news()
        assert len(follower._seen) < 5


def test_with_follow_it_goes_on_until_it_is_interrupted(
    cli: Cli, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the terminal does it; the command itself is followed in tests/e2e."""
    turns = 0

    async def turn(_: float) -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            raise KeyboardInterrupt
        db = SqliteDb(filled / "small.db")
        now_us = time.time_ns() // 1000
        await append(db, 1 + turns, record(10 + turns, time_us=now_us))
        await db.close()

    monkeypatch.setattr(asyncio, "sleep", turn)
    result = cli(*TAIL, "-n", "1", "--follow")
    assert result.exit_code == 0
    names = [line.rpartition(" ")[2] for line in result.stdout.splitlines()]
    assert names == ["request-4", "request-11", "request-12"]


def test_nothing_of_the_program_is_printed_beside(cli: Cli, filled: Path) -> None:
    result = cli(*TAIL, "--json")
    assert all(line.startswith('{"time":') for line in result.stdout.splitlines())
