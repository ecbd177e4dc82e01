from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from licet.db.base import Db
from licet.db.work_records import WORK_TOPIC
from licet.errors import StorageError
from licet.runs.cancel_watch import CancelWatch

SECONDS = 10


class Asked:
    """A database that tells whoever watches, and what it was asked to cancel."""

    id = "db"

    def __init__(self) -> None:
        self.number = 1
        self.run_ids: list[str] = []
        self.looks = 0
        self.broken: Exception | None = None
        self.changed = asyncio.Condition()

    async def change(self, *run_ids: str, broken: Exception | None = None) -> None:
        async with self.changed:
            self.run_ids, self.broken = list(run_ids), broken
            self.number += 1
            self.changed.notify_all()

    async def looked(self, times: int) -> None:
        async with asyncio.timeout(SECONDS), self.changed:
            await self.changed.wait_for(lambda: self.looks >= times)

    async def watch(self, topic: str, *, after: int, timeout_seconds: float) -> int:
        assert topic == WORK_TOPIC
        async with self.changed:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self.changed.wait_for(lambda: self.number > after)
            except TimeoutError:
                pass
            return self.number

    def work(self) -> Asked:
        return self

    async def cancels_asked(self, executor_id: str) -> Sequence[str]:
        assert executor_id == "me"
        async with self.changed:
            self.looks += 1
            self.changed.notify_all()
        if self.broken is not None:
            raise self.broken
        return self.run_ids


@asynccontextmanager
async def watching(*dbs: Asked, look_seconds: float = SECONDS) -> AsyncIterator[asyncio.Queue[str]]:
    stopped: asyncio.Queue[str] = asyncio.Queue()
    watch = CancelWatch(
        [cast("Db", db) for db in dbs],
        executor_id="me",
        stop=stopped.put_nowait,
        look_seconds=look_seconds,
    )
    watch.start()
    try:
        yield stopped
    finally:
        await watch.close()
        # Twice does nothing more.
        await watch.close()


async def heard(stopped: asyncio.Queue[str]) -> str:
    return await asyncio.wait_for(stopped.get(), SECONDS)


async def test_what_was_asked_is_stopped_as_soon_as_it_is_told() -> None:
    db = Asked()
    async with watching(db) as stopped:
        await db.looked(1)
        await db.change("a", "b")
        assert [await heard(stopped), await heard(stopped)] == ["a", "b"]


async def test_every_database_is_listened_to() -> None:
    dbs = [Asked(), Asked()]
    async with watching(*dbs) as stopped:
        for db, run_id in zip(dbs, ("a", "b"), strict=True):
            await db.looked(1)
            await db.change(run_id)
            assert await heard(stopped) == run_id


async def test_what_was_asked_untold_is_found_after_a_while() -> None:
    db = Asked()
    async with watching(db, look_seconds=0.01) as stopped:
        await db.looked(1)
        db.run_ids = ["a"]
        assert await heard(stopped) == "a"


@pytest.mark.parametrize("error", [StorageError("gone"), RuntimeError("unforeseen")])
async def test_a_database_that_fails_is_named_once_and_heard_again(
    error: Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("licet.runs.cancel_watch._RETRY_SECONDS", 0.001)
    db = Asked()
    async with watching(db, look_seconds=0.01) as stopped:
        await db.change(broken=error)
        await db.looked(db.looks + 3)
        await db.change("a")
        assert await heard(stopped) == "a"
    assert [line.message for line in caplog.records] == [
        f"cannot hear of runs to cancel in 'db': {error}",
        "can hear of runs to cancel in 'db' again",
    ]


async def test_nothing_is_heard_after_the_end() -> None:
    db = Asked()
    async with watching(db) as stopped:
        await db.looked(1)
    before = asyncio.all_tasks()
    await db.change("a")
    await asyncio.sleep(0)
    assert stopped.empty()
    assert asyncio.all_tasks() == before
