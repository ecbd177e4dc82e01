from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.work_records import ExecutorEnd, ExecutorRecord
from licet.errors import ConfigurationError, StorageError, StorageUnavailableError
from licet.runs import watchman
from licet.runs.executor import Heartbeat
from licet.runs.watchman import Watchman, repeatedly


class Clock:
    """Seconds that a test lets go by."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Neighbours:
    """Processes over one database, of which one, ``me``, is watched with."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.db = InMemoryDb()
        self.settled: list[str] = []
        self.unsettled: dict[str, Exception] = {}
        self.away: set[str] = set()
        self.watchman = Watchman(
            cast("Db", self), id="me", heartbeat=Heartbeat(), settle=self._settle
        )

    def work(self) -> Any:
        return _Work(self)

    async def _settle(self, executor_id: str) -> bool:
        if executor_id in self.unsettled:
            raise self.unsettled[executor_id]
        self.settled.append(executor_id)
        return True

    async def join(self, *names: str) -> None:
        for place, name in enumerate(names):
            await self.db.work().register_executor(ExecutorRecord(id=name, started_at_us=place))

    async def pass_on(self, seconds: int, *, beating: tuple[str, ...]) -> None:
        """Let time go by, in which some beat once a second, and look after each."""
        for _ in range(seconds):
            self.clock.now += 1
            for name in beating:
                await self.db.work().beat(name)
            await self.watchman.look()

    async def ends(self) -> dict[str, ExecutorEnd | None]:
        with self.db._rows.lock:
            return {name: each.ended for name, each in self.db._rows.executors.items()}


class _Work:
    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    def __getattr__(self, name: str) -> Any:
        if name in self._neighbours.away:
            raise StorageUnavailableError("away")
        return getattr(self._neighbours.db.work(), name)


@pytest.fixture
async def neighbours(monkeypatch: pytest.MonkeyPatch) -> Neighbours:
    clock = Clock()
    monkeypatch.setattr(watchman, "time", clock)
    made = Neighbours(clock)
    await made.join("me", "ann", "ben")
    return made


async def test_nobody_is_dead_who_says_that_they_live(neighbours: Neighbours) -> None:
    await neighbours.pass_on(60, beating=("me", "ann", "ben"))
    assert neighbours.settled == []
    assert set((await neighbours.ends()).values()) == {None}


async def test_whoever_is_silent_for_long_enough_is_dead_and_is_seen_to(
    neighbours: Neighbours,
) -> None:
    await neighbours.pass_on(6, beating=("me", "ann"))
    assert neighbours.settled == []
    await neighbours.pass_on(1, beating=("me", "ann"))
    assert neighbours.settled == ["ben"]
    assert (await neighbours.ends())["ben"] is ExecutorEnd.DIED
    # Once: nothing is left of it.
    await neighbours.pass_on(10, beating=("me", "ann"))
    assert neighbours.settled == ["ben"]


async def test_whoever_said_so_themselves_is_seen_to_at_once(neighbours: Neighbours) -> None:
    await neighbours.db.work().end_executor("ann", end=ExecutorEnd.LEFT, beats=None)
    await neighbours.watchman.look()
    assert neighbours.settled == ["ann"]


async def test_a_database_that_was_away_makes_nobody_dead(neighbours: Neighbours) -> None:
    await neighbours.pass_on(3, beating=("me",))
    neighbours.away.add("executors")
    for _ in range(10):
        neighbours.clock.now += 1
        with pytest.raises(StorageUnavailableError):
            await neighbours.watchman.look()
    neighbours.away.clear()
    await neighbours.pass_on(6, beating=("me",))
    assert neighbours.settled == []
    await neighbours.pass_on(1, beating=("me",))
    assert neighbours.settled == ["ann", "ben"]


async def test_a_database_that_took_no_writes_for_a_time_makes_nobody_dead(
    neighbours: Neighbours,
) -> None:
    await neighbours.pass_on(3, beating=("me", "ann", "ben"))
    # It can be read all the while; nobody's beats come through.
    await neighbours.pass_on(20, beating=())
    await neighbours.pass_on(3, beating=("me",))
    assert neighbours.settled == []
    await neighbours.pass_on(10, beating=("me", "ann", "ben"))
    assert neighbours.settled == []


async def test_one_that_is_taken_for_dead_itself_says_so_of_nobody(neighbours: Neighbours) -> None:
    await neighbours.pass_on(6, beating=("me",))
    await neighbours.db.work().end_executor("me", end=ExecutorEnd.DIED, beats=None)
    await neighbours.pass_on(10, beating=())
    assert neighbours.settled == []
    await neighbours.join("me")
    await neighbours.pass_on(6, beating=("me",))
    assert neighbours.settled == []


async def test_one_that_comes_back_between_two_looks_is_not_dead(neighbours: Neighbours) -> None:
    await neighbours.pass_on(6, beating=("me", "ann"))
    await neighbours.join("ben")
    await neighbours.pass_on(6, beating=("me", "ann"))
    assert neighbours.settled == []


@pytest.mark.parametrize(
    "error", [StorageError("not now"), ConfigurationError("not here")], ids=lambda e: e.code
)
async def test_one_that_cannot_be_seen_to_keeps_no_other_waiting(
    neighbours: Neighbours, error: Exception
) -> None:
    neighbours.unsettled["ann"] = error
    await neighbours.pass_on(6, beating=("me",))
    with pytest.raises(type(error)):
        await neighbours.pass_on(1, beating=("me",))
    assert neighbours.settled == ["ben"]
    # It is tried again until it can be.
    del neighbours.unsettled["ann"]
    await neighbours.watchman.look()
    assert neighbours.settled == ["ben", "ann"]


async def test_what_is_not_wholly_seen_to_is_looked_at_again() -> None:
    neighbours = Neighbours(Clock())
    answers = [False, True]

    async def settle(executor_id: str) -> bool:
        neighbours.settled.append(executor_id)
        return answers.pop(0)

    looking = Watchman(neighbours.db, id="me", heartbeat=Heartbeat(), settle=settle)
    await neighbours.join("me", "ann")
    await neighbours.db.work().end_executor("ann", end=ExecutorEnd.LEFT, beats=None)
    for _ in range(4):
        await looking.look()
    assert neighbours.settled == ["ann", "ann"]


async def test_what_fails_is_done_again(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[BaseException] = [
        StorageError("not now"),
        RuntimeError("what nobody thought of"),
        KeyboardInterrupt(),
    ]

    async def fail() -> None:
        raise failures.pop(0)

    caplog.set_level(logging.WARNING)
    with pytest.raises(KeyboardInterrupt):
        await repeatedly(fail, every_seconds=0)
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
