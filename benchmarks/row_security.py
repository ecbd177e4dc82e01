"""What PostgreSQL's row-level security costs: the same calls with it and without, A B A B.

Both sides have a schema of their own on one embedded server, which syncs its disk as it does for
users. Each owner has a number of sessions with a run each; every round begins and saves runs for
all of them at once, then asks one question after the other. The last column is the median of the
rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from licet.db.base import Access
from licet.db.embedded import EmbeddedPostgres
from licet.db.postgres import PostgresDb
from licet.db.records import RunQuery, RunRecord, RunStatus, Saving, SessionQuery, SessionRecord

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


async def measure(
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9, help="A B A B …")
    parser.add_argument("--owners", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=20, help="of each owner")
    parser.add_argument("--questions", type=int, default=300, help="of each kind, one by one")
    chosen = parser.parse_args()
    with two_sides() as sides:
        without, guarded = asyncio.run(measure(sides, **vars(chosen)))
    print(f"microseconds a call, median of {chosen.rounds} rounds")
    print(f"{'':26}{'without':>10}{'with':>10}{'ratio':>8}")
    for name in without[0]:
        pairs = [(a[name], b[name]) for a, b in zip(without, guarded, strict=True)]
        plain, bound = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"{name:26}{plain:10.0f}{bound:10.0f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
