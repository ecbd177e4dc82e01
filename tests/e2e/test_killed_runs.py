"""``kill -9`` in the middle of durable runs: all of them complete, and no finished step again."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.postgres import EmbeddedPostgres, fresh_schema
from tests.support.survival import House, Seen, begin, check, follow, house

RUNS = 10
# A run takes about so long.
RUN_SECONDS = 1.5


def survive(at: House, *, runs: int, kills: int, restart: bool, seed: int) -> list[Seen]:
    """Begin runs, kill processes in the middle of them, and read each run to its end."""
    moments = random.Random(seed)  # noqa: S311 - the same moments each time
    seen = [begin(at.replicas[number % len(at.replicas)]) for number in range(runs)]
    with ThreadPoolExecutor(runs) as pool:
        reading = [
            pool.submit(follow, one, lambda: moments.choice(list(at.replicas)).url) for one in seen
        ]
        for _ in range(kills):
            time.sleep(moments.uniform(0.1, RUN_SECONDS))
            victim = moments.choice(at.replicas)
            if restart:
                # Before the old one dies, so that readers find somebody to ask.
                at.start()
            at.kill(victim)
            at.wait_until_serving()
        for each in reading:
            each.result()
    return seen


def test_a_process_that_is_killed_and_started_again_completes_all_runs(tmp_path: Path) -> None:
    with house(tmp_path, f"SqliteDb({str(tmp_path / 'licet.db')!r})") as at:
        at.start()
        at.wait_until_serving()
        seen = survive(at, runs=RUNS, kills=1, restart=True, seed=1)
        calls = at.calls()
    for one in seen:
        check(one, calls[one.run_id])


def test_of_three_replicas_the_last_one_completes_all_runs(
    tmp_path: Path, postgres_server: EmbeddedPostgres
) -> None:
    with (
        fresh_schema(postgres_server) as url,
        house(tmp_path, f"PostgresDb(db_url={url!r})") as at,
    ):
        for _ in range(3):
            at.start()
        at.wait_until_serving()
        seen = survive(at, runs=RUNS, kills=2, restart=False, seed=2)
        calls = at.calls()
    for one in seen:
        check(one, calls[one.run_id])


@pytest.fixture(autouse=True)
def _patience(request: pytest.FixtureRequest) -> None:
    request.node.add_marker(pytest.mark.timeout(240))
