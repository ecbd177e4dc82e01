"""Replicas that are replaced one by one, under load: no accepted run is lost, none doubled."""

from __future__ import annotations

import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

import httpx
import pytest

from tests.support.postgres import EmbeddedPostgres, fresh_schema
from tests.support.survival import STEPS, House, Seen, begin, check, follow, house

REPLICAS = 3


class Load:
    """Begins runs at any replica, one after the other, and reads each to its end."""

    def __init__(self, at: House, pool: ThreadPoolExecutor) -> None:
        self._at = at
        self._pool = pool
        self._choose = random.Random(3)  # noqa: S311 - the same choices each time
        self._stop = threading.Event()
        self.accepted: list[Seen] = []
        self.reading: list[Future[None]] = []
        self._thread = threading.Thread(target=self._begin_all)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _url(self) -> str:
        return self._choose.choice(list(self._at.replicas)).url

    def _begin_all(self) -> None:
        while not self._stop.wait(0.4):
            try:
                seen = begin(self._choose.choice(list(self._at.replicas)))
            except httpx.TransportError:
                # Refused while it ended: nobody said that the run was accepted.
                continue
            self.accepted.append(seen)
            self.reading.append(self._pool.submit(follow, seen, self._url))


@pytest.mark.timeout(300)
def test_a_rolling_restart_loses_no_run_and_doubles_none(
    tmp_path: Path, postgres_server: EmbeddedPostgres
) -> None:
    with (
        fresh_schema(postgres_server) as url,
        house(tmp_path, f"PostgresDb(db_url={url!r})") as at,
        ThreadPoolExecutor(100) as pool,
    ):
        for _ in range(REPLICAS):
            at.start()
        at.wait_until_serving()
        with Load(at, pool) as load:
            at.replace_all()
        for each in load.reading:
            each.result()
        calls = at.calls()
    assert len(load.accepted) >= 2 * REPLICAS
    for seen in load.accepted:
        check(seen, calls[seen.run_id])
        # A step that had begun was let end: none was begun twice.
        assert calls[seen.run_id] == list(range(1, STEPS + 1))
