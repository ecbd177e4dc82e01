"""What PostgreSQL's row-level security costs: the same calls with it and without.

Both sides have a schema of their own on one embedded server, which syncs its disk as it does for
users. Each owner has a number of sessions with a run each; every round begins and saves runs for
all of them at once, then asks one question after the other.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.finding import OURS, Finding
from benchmarks.stage import Conditions
from licet.db.base import Access
from licet.db.embedded import EmbeddedPostgres
from licet.db.postgres import PostgresDb
from licet.db.records import RunQuery, RunRecord, RunStatus, Saving, SessionQuery, SessionRecord

OWNERS, SESSIONS, QUESTIONS = 100, 20, 300
WITHOUT = "without"
ROLE, ROW_ROLE = "bench", "bench_rows"
BODY = b'{"content": "%s"}' % (b"x" * 2000)

Costs = dict[str, float]


@contextmanager
def two_sides() -> Iterator[tuple[PostgresDb, PostgresDb]]:
    """A database without, and one with row-level security."""
    folder = Path(tempfile.mkdtemp(prefix="licet-bench-"))
    folder.chmod(0o711)
    try:
        with EmbeddedPostgres(folder / "postgres") as server:
            for database in ("without", "with"):
                server.create_role_and_database(database)
            server.create_role_within(ROW_ROLE, member="with")
            yield (
                PostgresDb(server.url("without")),
                PostgresDb(server.url("with"), row_level_security=True, row_role=ROW_ROLE),
            )
    finally:
        shutil.rmtree(folder)


class Side:
    """The calls of one side."""

    def __init__(self, db: PostgresDb, *, owners: int, sessions: int) -> None:
        self.db = db
        self.owners = [f"owner-{number}" for number in range(owners)]
        self.sessions = sessions
        self.rounds = 0
        self.runs: list[RunRecord] = []

    async def round(self, questions: int) -> Costs:
        """Microseconds a call."""
        self.rounds += 1
        self.runs = [self._run(owner, n) for owner in self.owners for n in range(self.sessions)]
        one = self.runs[: min(questions, len(self.runs))]
        return {
            "begin_run, all at once": await at_once(self._begin, self.runs),
            "save_run, all at once": await at_once(self._save, self.runs),
            "save_run, one by one": await one_by_one(self._save, one),
            "get_run": await one_by_one(self._get, one),
            "list_runs": await one_by_one(self._list_runs, one),
            "list_sessions": await one_by_one(self._list_sessions, one),
        }

    def _run(self, owner: str, number: int) -> RunRecord:
        now = time.time_ns() // 1000
        return RunRecord(
            owner=owner,
            session_id=f"session-{number}",
            run_id=f"{owner}-{number}-{self.rounds}",
            component_id="agent",
            status=RunStatus.RUNNING,
            body=BODY,
            created_at_us=now,
            updated_at_us=now,
        )

    async def _begin(self, run: RunRecord) -> None:
        session = SessionRecord(
            owner=run.owner,
            session_id=run.session_id,
            created_at_us=run.created_at_us,
            updated_at_us=run.updated_at_us,
        )
        await self.db.store(Access(run.owner)).begin_run(session, run, history_runs=3)

    async def _save(self, run: RunRecord) -> None:
        # A run that works may be saved more than once; one that has ended, not.
        saved = replace(run, total_tokens=1)
        saving = await self.db.store(Access(run.owner)).save_run(saved, session_state={"n": 1})
        assert saving is Saving.SAVED

    async def _get(self, run: RunRecord) -> None:
        assert await self.db.store(Access(run.owner)).get_run(run.session_key, run.run_id)

    async def _list_runs(self, run: RunRecord) -> None:
        assert await self.db.store(Access(run.owner)).list_runs(run.session_key, RunQuery())

    async def _list_sessions(self, run: RunRecord) -> None:
        page = await self.db.store(Access(run.owner)).list_sessions(SessionQuery(limit=20))
        assert page.total_count == self.sessions


async def at_once(call: Callable[[RunRecord], Awaitable[None]], runs: Sequence[RunRecord]) -> float:
    """Microseconds a call, when all wait together: what one costs of the throughput."""
    began = time.perf_counter()
    await asyncio.gather(*(call(run) for run in runs))
    return (time.perf_counter() - began) / len(runs) * 1e6


async def one_by_one(
    call: Callable[[RunRecord], Awaitable[None]], runs: Sequence[RunRecord]
) -> float:
    """Microseconds that one caller waits."""
    waited = []
    for run in runs:
        began = time.perf_counter()
        await call(run)
        waited.append(time.perf_counter() - began)
    return statistics.median(waited) * 1e6


async def compared(
    sides: Sequence[PostgresDb], *, rounds: int, owners: int, sessions: int, questions: int
) -> list[list[Costs]]:
    """The costs of each side in each round. A first round of both is not counted."""
    known = [Side(db, owners=owners, sessions=sessions) for db in sides]
    found: list[list[Costs]] = [[] for _ in known]
    for number in range(rounds + 1):
        for side, costs in zip(known, found, strict=True):
            taken = await side.round(questions)
            if number > 0:
                costs.append(taken)
    for db in sides:
        await db.close()
    return found


def measure(conditions: Conditions) -> Sequence[Finding]:
    """Microseconds a call. Nothing is asked of them: what it costs is for users to weigh."""
    with two_sides() as sides:
        without, guarded = asyncio.run(
            compared(
                sides,
                rounds=conditions.rounds,
                owners=conditions.scaled(OWNERS, least=3),
                sessions=SESSIONS,
                questions=conditions.scaled(QUESTIONS, least=10),
            )
        )
    return [
        Finding(
            what=f"row-level security, {call}",
            unit="µs",
            figures={
                WITHOUT: [costs[call] for costs in without],
                OURS: [costs[call] for costs in guarded],
            },
        )
        for call in without[0]
    ]
