"""A hundred durable runs, each with a ``kill -9`` somewhere in it, for both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_killed_runs import survive
from tests.support.postgres import EmbeddedPostgres, fresh_database
from tests.support.survival import check, house

ROUNDS, RUNS = 10, 10


@pytest.mark.parametrize("seed", range(100, 100 + ROUNDS))
def test_runs_survive_a_process_that_is_killed_and_started_again(tmp_path: Path, seed: int) -> None:
    with house(tmp_path, f"SqliteDb({str(tmp_path / 'licet.db')!r})") as at:
        at.start()
        at.wait_until_serving()
        seen = survive(at, runs=RUNS, kills=2, restart=True, seed=seed)
        calls = at.calls()
    for one in seen:
        check(one, calls[one.run_id])


@pytest.mark.parametrize("seed", range(200, 200 + ROUNDS))
def test_runs_survive_replicas_that_are_killed_and_never_started_again(
    tmp_path: Path, postgres_server: EmbeddedPostgres, seed: int
) -> None:
    with (
        fresh_database(postgres_server) as url,
        house(tmp_path, f"PostgresDb(db_url={url!r})") as at,
    ):
        for _ in range(3):
            at.start()
        at.wait_until_serving()
        seen = survive(at, runs=RUNS, kills=2, restart=False, seed=seed)
        calls = at.calls()
    for one in seen:
        check(one, calls[one.run_id])
