"""A million sessions in the database: one user's list, and a session that is somebody else's.

The list is asked for by the user, and by an administrator, who reaches all. Each is asked of a
server whose database holds a hundredth as many, too. Every user has as many sessions in either,
spread over the whole table: what grows is what others have. One client asks.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
import psycopg

from benchmarks.calls import http_request
from benchmarks.finding import OURS, Finding, Must, in_turn, percentile
from benchmarks.load import Call, load
from benchmarks.process import Server
from benchmarks.stage import DATABASES, Conditions, Database, Stage
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb

ROWS = 1_000_000
SESSIONS_A_USER = 100
PAGE = 20
USER, OTHER = 7, 8
MOST_MS, MOST_GROWTH = 10.0, 1.5

_INSERT = """INSERT INTO licet_sessions
(owner, session_id, session_type, component_id, user_id, first_input, session_state,
 created_at_us, updated_at_us)
SELECT 'default|user-' || (n % {users}), 'session-' || n, 'agent', 'bench',
 'user-' || (n % {users}), 'hello', '{{}}', 1700000000000000 + n, 1700000000000000 + n
"""
_SQLITE = "WITH RECURSIVE rows (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM rows LIMIT {rows})"


def measure(conditions: Conditions) -> Sequence[Finding]:
    """Milliseconds, p95, on each database."""
    return [one for database in DATABASES for one in _measured(conditions, database)]


def _measured(conditions: Conditions, database: Database) -> Sequence[Finding]:
    many = conditions.scaled(ROWS, least=2000)
    few = max(1000, many // 100)
    with Stage(conditions) as stage:
        servers = {side: _filled(stage, database, rows) for side, rows in _sides(few, many)}
        calls = _calls(stage)
        found = {
            name: in_turn(
                {
                    side: partial(_p95_ms, server, call, conditions)
                    for side, server in servers.items()
                },
                rounds=conditions.rounds,
            )
            for name, call in calls.items()
        }
    limits = (Must(at_most=MOST_MS), Must(beside=f"{few:,} sessions", at_most=MOST_GROWTH))
    return [
        Finding(
            what=f"{many:,} sessions, {database}: {name}, p95",
            unit="ms",
            figures=figures,
            musts=limits,
        )
        for name, figures in found.items()
    ]


def _sides(few: int, many: int) -> Sequence[tuple[str, int]]:
    return ((f"{few:,} sessions", few), (OURS, many))


def _calls(stage: Stage) -> Mapping[str, Call]:
    user = stage.token(f"user-{USER}")
    admin = stage.token("root", scopes=("agent_os:admin",))
    return {
        "one user's list": FirstPage("/sessions", token=user),
        "somebody else's session": Absent(f"/sessions/session-{OTHER}", token=user),
        "an administrator's list of one user": FirstPage(
            "/sessions", token=admin, user_id=f"user-{USER}"
        ),
    }


def _p95_ms(server: Server, call: Call, conditions: Conditions) -> float:
    window = load(server.port, call, seconds=conditions.seconds, clients=1)
    return percentile(window.took_seconds, 0.95) * 1000


def _filled(stage: Stage, database: Database, rows: int) -> Server:
    stored = stage.database(database)
    users = rows // SESSIONS_A_USER
    insert = _INSERT.format(users=users)
    if database == "SQLite":
        _migrate(SqliteDb(db_file=stored["BENCH_SQLITE"]))
        with sqlite3.connect(stored["BENCH_SQLITE"]) as connection:
            connection.execute(f"{_SQLITE.format(rows=rows)} {insert} FROM rows")
        connection.close()
    else:
        url = stored["BENCH_POSTGRES"]
        _migrate(PostgresDb(db_url=url))
        with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connected:
            connected.execute(f"{insert} FROM generate_series(0, {rows - 1}) AS rows (n)".encode())
            # What the server does by itself a minute later.
            connected.execute("VACUUM ANALYZE licet_sessions")
    return stage.licet("served.py", "licet", model="http://127.0.0.1:9/v1", database=stored)


def _migrate(db: SqliteDb | PostgresDb) -> None:
    async def opened() -> None:
        await db.open()
        await db.close()

    asyncio.run(opened())


class FirstPage:
    """The newest sessions of one user."""

    def __init__(self, path: str, *, token: str, user_id: str = "") -> None:
        chosen = f"&user_id={user_id}" if user_id else ""
        self._request = http_request("GET", f"{path}?limit={PAGE}{chosen}", token=token)

    def request(self) -> bytes:
        """The same each time."""
        return self._request

    def check(self, status: int, body: bytes) -> None:
        """It is a full page of that user's, newest first, and knows how many there are."""
        assert status == 200, (status, body)
        page = _PAGE.decode(body)
        assert page.meta.total_count == SESSIONS_A_USER, body
        assert len(page.data) == PAGE, body
        assert {session.user_id for session in page.data} == {f"user-{USER}"}, body
        numbers = [int(session.session_id.removeprefix("session-")) for session in page.data]
        assert numbers == sorted(numbers, reverse=True), body


class Absent:
    """A session that is somebody else's."""

    def __init__(self, path: str, *, token: str) -> None:
        self._request = http_request("GET", path, token=token)

    def request(self) -> bytes:
        """The same each time."""
        return self._request

    def check(self, status: int, body: bytes) -> None:
        """It is not there."""
        assert status == 404, (status, body)


class _Session(msgspec.Struct):
    session_id: str
    user_id: str


class _Meta(msgspec.Struct):
    total_count: int


class _Page(msgspec.Struct):
    data: list[_Session]
    meta: _Meta


_PAGE = msgspec.json.Decoder(_Page)
