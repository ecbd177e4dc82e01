from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.sqlite import SqliteDb
from licet.db.work_records import ExecutorEnd, ExecutorRecord
from licet.errors import StorageError, StorageUnavailableError
from licet.runs.executor import Executor, Heartbeat, new_executor_id
from tests.support.durable import eventually

QUICK = Heartbeat(beat_seconds=0.01, dead_seconds=600.0)


class Away:
    """A database that fails as often as it is told to, and may hang."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self.id = "main"
        self.failures: dict[str, list[BaseException]] = {}
        self.calls: list[str] = []

    def work(self) -> Any:
        return _AwayWork(self, self._db.work())


class _AwayWork:
    def __init__(self, away: Away, inner: Any) -> None:
        self._away = away
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self._away.calls.append(name)
            if failures := self._away.failures.get(name):
                raise failures.pop(0)
            return await getattr(self._inner, name)(*args, **kwargs)

        return call


class Life:
    """What became of the work of a process."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.failures: list[Exception] = []

    async def leave(self) -> None:
        self.told.append("left")

    async def settle(self) -> None:
        if self.failures:
            self.told.append("failed to settle")
            raise self.failures.pop(0)
        self.told.append("settled")


@asynccontextmanager
async def living(
    db: Any,
    life: Life,
    heartbeat: Heartbeat = QUICK,
    *,
    leave: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[Executor]:
    executor = Executor(
        cast("Db", db),
        id="p1",
        heartbeat=heartbeat,
        leave=leave or life.leave,
        settle=life.settle,
    )
    await executor.start()
    try:
        yield executor
    finally:
        await executor.close()


async def known(db: Db, executor_id: str = "p1") -> ExecutorRecord:
    (found,) = [each for each in await db.work().executors() if each.id == executor_id]
    return found


async def until_beats(db: Db, beats: int) -> None:
    """Wait until a process has beaten as often."""
    async with asyncio.timeout(20):
        while (await known(db)).beats < beats:  # noqa: ASYNC110 - what the database says
            await asyncio.sleep(0.002)


async def kill(db: Db) -> None:
    """As another process does that has not heard of this one for long."""
    assert await db.work().end_executor("p1", end=ExecutorEnd.DIED, beats=None)


def test_no_two_processes_have_one_name_nor_has_one_two_lives() -> None:
    assert len({new_executor_id() for _ in range(1000)}) == 1000


def test_a_process_stops_beginning_things_well_before_it_is_taken_for_dead() -> None:
    beat = Heartbeat()
    assert beat.beat_seconds * 2 < beat.lease_seconds < beat.dead_seconds - beat.beat_seconds


async def test_a_process_says_again_and_again_that_it_lives_and_that_it_leaves() -> None:
    db = InMemoryDb()
    async with living(db, Life()) as executor:
        assert executor.is_heard
        await until_beats(db, 3)
        assert (await known(db)).ended is None
    assert (await known(db)).ended is ExecutorEnd.LEFT


async def test_a_loop_that_is_blocked_stops_no_heart(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    async with living(db, Life()):
        before = (await known(db)).beats
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            """A tool that does not let go."""
        assert (await known(db)).beats >= before + 3
    await db.close()


async def test_nothing_begins_while_the_database_does_not_hear_and_goes_on_when_it_does() -> None:
    db = InMemoryDb()
    away = Away(db)
    async with living(away, Life(), Heartbeat(beat_seconds=0.01, dead_seconds=0.12)) as executor:
        away.failures["beat"] = [StorageUnavailableError("away") for _ in range(100)]
        await eventually(lambda: not executor.is_heard, "silence")
        waiting = asyncio.ensure_future(executor.heard())
        await asyncio.sleep(0)
        assert not waiting.done()
        away.failures.clear()
        await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize(
    "error", [StorageError("no"), RuntimeError("what nobody thought of")], ids=str
)
async def test_no_failure_stops_the_heart(error: Exception) -> None:
    db = InMemoryDb()
    away = Away(db)
    async with living(away, Life()):
        away.failures["beat"] = [error] * 3
        await eventually(lambda: not away.failures["beat"], "the failures")
        await until_beats(db, (await known(db)).beats + 3)


async def test_one_that_was_taken_for_dead_leaves_what_it_does_first_and_comes_back() -> None:
    db, life = InMemoryDb(), Life()
    was_ended: list[bool] = []

    async def leave() -> None:
        was_ended.append((await known(db)).ended is not None)
        assert not executor.is_heard
        await life.leave()

    async with living(db, life, leave=leave) as executor:
        await kill(db)
        await eventually(lambda: life.told == ["left", "settled"], "its return")
        assert was_ended == [True]
        assert (await known(db)).ended is None
        assert executor.is_heard


async def test_what_it_had_left_is_seen_to_however_often_that_fails() -> None:
    db, life = InMemoryDb(), Life()
    life.failures = [StorageError("away"), RuntimeError("what nobody thought of")]
    async with living(db, life):
        await kill(db)
        # It lives: no other process sees to it, and no beat says that something is missing.
        await eventually(lambda: "settled" in life.told, "the end of it")
        assert life.told == ["left", "failed to settle", "failed to settle", "settled"]


@pytest.mark.parametrize("error", [StorageError("away"), RuntimeError("unforeseen")], ids=str)
async def test_one_that_cannot_come_back_yet_tries_again(error: Exception) -> None:
    db, life = InMemoryDb(), Life()
    away = Away(db)
    async with living(away, life) as executor:
        away.failures["register_executor"] = [error]
        await kill(db)
        await eventually(lambda: "settled" in life.told, "its return")
        assert life.told == ["left", "left", "settled"]
        assert executor.is_heard


async def test_one_that_dies_again_while_it_settles_leaves_again() -> None:
    db, life = InMemoryDb(), Life()
    life.failures = [StorageError("away") for _ in range(10_000)]
    async with living(db, life):
        await kill(db)
        await eventually(lambda: "failed to settle" in life.told, "its return")
        await kill(db)
        await eventually(lambda: life.told.count("left") == 2, "leaving again")
        life.failures.clear()
        await eventually(lambda: life.told[-1] == "settled", "the end of it")


async def test_a_word_of_its_death_that_is_older_than_its_return_counts_no_more() -> None:
    db, life = InMemoryDb(), Life()
    async with living(db, life) as executor:
        before = executor._lives
        await kill(db)
        await eventually(lambda: life.told == ["left", "settled"], "its return")
        executor._died(before)
        assert executor.is_heard
    # Nor does one that comes when it has left.
    executor._died(executor._lives)
    assert executor._returning is None


async def test_a_database_that_is_away_keeps_no_process_from_leaving() -> None:
    away = Away(InMemoryDb())
    async with living(away, Life()):
        away.failures["end_executor"] = [StorageUnavailableError("away")]
    assert away.calls[-1] == "end_executor"


async def test_one_that_could_not_register_does_not_beat() -> None:
    away = Away(InMemoryDb())
    away.failures["register_executor"] = [StorageUnavailableError("away")]
    with pytest.raises(StorageUnavailableError):
        async with living(away, Life()):
            pass
    assert away.calls == ["register_executor"]


async def test_closing_what_never_started_is_nothing() -> None:
    life = Life()
    never = Executor(InMemoryDb(), id="p1", heartbeat=QUICK, leave=life.leave, settle=life.settle)
    await never.close()
    assert life.told == []
