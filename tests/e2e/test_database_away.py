"""PostgreSQL that is stopped for ten seconds: a pause, and nothing more."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.support.postgres import ROLE, EmbeddedPostgres, reachable_folder
from tests.support.survival import Replica, begin, check, follow, house

AWAY_SECONDS = 10.0
RUNS = 6


def answer_of(at: Replica) -> httpx.Response:
    form = {"message": "go", "background": "true", "stream": "false"}
    return httpx.post(f"{at.url}/agents/worker/runs", data=form, timeout=60)


@pytest.mark.timeout(300)
def test_a_database_that_is_away_for_ten_seconds_loses_nothing(tmp_path: Path) -> None:
    with reachable_folder() as folder, EmbeddedPostgres(folder / "postgres") as server:
        server.create_role_and_database(ROLE)
        with (
            house(tmp_path, f"PostgresDb(db_url={server.url(ROLE)!r})") as at,
            ThreadPoolExecutor(RUNS * 2) as pool,
        ):
            for _ in range(2):
                at.start()
            at.wait_until_serving()
            asked = [at.replicas[number % 2] for number in range(RUNS)]
            seen = [begin(replica) for replica in asked]
            reading = [
                pool.submit(follow, one, partial(getattr, replica, "url"))
                for one, replica in zip(seen, asked, strict=True)
            ]
            time.sleep(0.5)
            server.stop()
            stopped_at = time.monotonic()
            refused = [answer_of(replica) for replica in at.replicas]
            time.sleep(max(0.0, stopped_at + AWAY_SECONDS - time.monotonic()))
            server.start()
            for each in reading:
                each.result()
            # And whoever comes later is served by the same processes.
            later = [begin(replica) for replica in at.replicas]
            for one, replica in zip(later, at.replicas, strict=True):
                follow(one, partial(getattr, replica, "url"))
            assert all(r.process.popen.poll() is None for r in at.replicas)
            calls = at.calls()
    for answer in refused:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) > 0
    for one in [*seen, *later]:
        check(one, calls[one.run_id])
