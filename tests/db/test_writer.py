from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from licet.db import run_writes
from licet.db import writer as module
from licet.db.migrating import bring_up_to_date
from licet.db.sqlite import SqliteBackend
from licet.db.writer import GroupWriter, UnavailableError, WriteConnection
from licet.db.writes import Answer, ContentionError, Statement, Write
from licet.errors import ConflictError, StorageError
from tests.contract.rows import run, session


class Watched:
    """A real connection that counts, and does first what a test tells it to."""

    def __init__(self, connection: WriteConnection, trial: Trial) -> None:
        self._connection, self._trial = connection, trial

    def execute(self, statements: Sequence[Statement]) -> Sequence[Answer]:
        self._trial.before_execute()
        return self._connection.execute(statements)

    def commit(self) -> None:
        self._trial.before_commit()
        self._connection.commit()
        self._trial.commits += 1

    def rollback(self) -> None:
        self._trial.before_rollback()
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


class Trial:
    """A writer on a real SQLite file."""

    def __init__(self, path: Path) -> None:
        self.backend = SqliteBackend(path)
        self.backend.prepare()
        bring_up_to_date(self.backend)
        self.commits = 0
        self.connects = 0
        self.before_connect: Callable[[], None] = lambda: None
        self.before_execute: Callable[[], None] = lambda: None
        self.before_commit: Callable[[], None] = lambda: None
        self.before_rollback: Callable[[], None] = lambda: None

    def connect(self) -> WriteConnection:
        self.connects += 1
        self.before_connect()
        return Watched(self.backend.connect(), self)

    def rows(self) -> int:
        with self.backend.reading(1).connect() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM licet_runs").scalar_one())


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path / "licet.db")


@contextmanager
def working(trial: Trial) -> Iterator[GroupWriter]:
    writer = GroupWriter(trial.connect, name="trial")
    try:
        yield writer
    finally:
        writer.close()


def begin(name: str) -> Write[Any]:
    record = run(name, run_id=name)
    return run_writes.begin_run(session(name), record, history_runs=0)


def times(number: int, error: Exception) -> Callable[[], None]:
    """Fails that many times, then never again."""
    left = [number]

    def fail() -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return fail


async def all_of(writer: GroupWriter, count: int) -> list[Any]:
    names = [f"s{n}" for n in range(count)]
    return await asyncio.gather(
        *(writer.write(begin(name)) for name in names), return_exceptions=True
    )


async def test_what_waits_while_a_transaction_commits_shares_the_next(trial: Trial) -> None:
    committing, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        trial.before_commit = lambda: None
        committing.set()
        assert go_on.wait(30)

    trial.before_commit = hold
    with working(trial) as writer:
        first = asyncio.create_task(writer.write(begin("first")))
        await asyncio.to_thread(committing.wait, 30)
        rest = [asyncio.create_task(writer.write(begin(f"s{n}"))) for n in range(60)]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *rest)
        assert trial.commits == 2
        assert trial.rows() == 61


async def test_a_transaction_has_a_limit(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_WRITES", 8)
    committing, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        trial.before_commit = lambda: None
        committing.set()
        assert go_on.wait(30)

    trial.before_commit = hold
    with working(trial) as writer:
        first = asyncio.create_task(writer.write(begin("first")))
        await asyncio.to_thread(committing.wait, 30)
        rest = [asyncio.create_task(writer.write(begin(f"s{n}"))) for n in range(20)]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *rest)
        assert trial.commits == 1 + 3


async def test_a_connection_that_cannot_undo_is_given_up(trial: Trial) -> None:
    with working(trial) as writer:
        await writer.write(begin("a"))
        trial.before_rollback = times(1, StorageError("cannot"))
        with pytest.raises(ConflictError):
            await writer.write(begin("a"))
        await writer.write(begin("b"))
        assert trial.connects == 2


async def test_a_bug_while_undoing_reaches_the_callers_and_does_not_end_the_writer(
    trial: Trial,
) -> None:
    with working(trial) as writer:
        await writer.write(begin("a"))
        trial.before_rollback = times(1, ZeroDivisionError("bug"))
        with pytest.raises(UnavailableError, match=r"not known.*bug"):
            await writer.write(begin("a"))
        await writer.write(begin("b"))
        assert trial.rows() == 2


async def test_an_event_loop_is_woken_once_for_a_transaction(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, calls = asyncio.get_running_loop(), 0
    wake = loop.call_soon_threadsafe

    def counted(*args: Any, **kwargs: Any) -> asyncio.Handle:
        nonlocal calls
        calls += 1
        return wake(*args, **kwargs)

    with working(trial) as writer:
        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        await all_of(writer, 50)
        monkeypatch.undo()
    assert calls == trial.commits < 50


async def test_a_write_that_is_refused_fails_alone(trial: Trial) -> None:
    bad = Write(
        session("s5").key,
        (Statement("INSERT INTO licet_runs (run_id) VALUES (?)", ("bad",)),),
        lambda _: None,
    )
    with working(trial) as writer:
        outcomes = await asyncio.gather(
            *(writer.write(begin(f"s{n}")) for n in range(10)),
            writer.write(bad),
            return_exceptions=True,
        )
        assert isinstance(outcomes[-1], StorageError)
        assert "NOT NULL" in str(outcomes[-1])
        assert not any(isinstance(outcome, Exception) for outcome in outcomes[:-1])
        assert trial.rows() == 10


async def test_an_error_of_a_conclusion_undoes_its_write_alone(trial: Trial) -> None:
    def refuse(_: Sequence[Answer]) -> None:
        raise ConflictError("refused")

    def burst(_: Sequence[Answer]) -> None:
        raise ZeroDivisionError

    with working(trial) as writer:
        outcomes = await asyncio.gather(
            writer.write(replace(begin("a"), conclude=refuse)),
            writer.write(replace(begin("b"), conclude=burst)),
            writer.write(begin("c")),
            return_exceptions=True,
        )
        assert isinstance(outcomes[0], ConflictError)
        assert isinstance(outcomes[1], StorageError)
        assert not isinstance(outcomes[2], BaseException)
        assert trial.rows() == 1


async def test_a_connection_that_was_lost_before_the_commit_is_made_anew(trial: Trial) -> None:
    with working(trial) as writer:
        await writer.write(begin("first"))
        trial.before_execute = times(1, UnavailableError("lost"))
        outcomes = await all_of(writer, 20)
        assert not any(isinstance(outcome, Exception) for outcome in outcomes)
        assert trial.connects == 2
        assert trial.rows() == 21


async def test_a_connection_that_is_lost_at_the_commit_leaves_it_open(trial: Trial) -> None:
    with working(trial) as writer:
        trial.before_commit = times(1, UnavailableError("lost", may_be_stored=True))
        with pytest.raises(UnavailableError, match="lost") as caught:
            await writer.write(begin("a"))
        assert caught.value.may_be_stored
        await writer.write(begin("b"))
        assert trial.rows() == 1


async def test_while_the_database_is_away_every_write_fails_and_none_waits(trial: Trial) -> None:
    trial.before_connect = times(10**6, UnavailableError("away"))
    with working(trial) as writer:
        outcomes = await all_of(writer, 100)
        assert all(isinstance(outcome, UnavailableError) for outcome in outcomes)
        assert len({id(outcome) for outcome in outcomes}) == 100
        # Not twice for each of them, only for each group.
        assert trial.connects <= 20
        trial.before_connect = lambda: None
        await writer.write(begin("back"))
        assert trial.rows() == 1


async def test_the_rest_of_a_group_does_not_wait_for_a_database_that_went_away(
    trial: Trial,
) -> None:
    def refuse(_: Sequence[Answer]) -> None:
        trial.before_execute = times(10**6, UnavailableError("went away"))
        raise ConflictError("refused")

    with working(trial) as writer:
        await writer.write(begin("first"))
        connects = trial.connects
        outcomes = await asyncio.gather(
            writer.write(replace(begin("a"), conclude=refuse)),
            *(writer.write(begin(f"s{n}")) for n in range(30)),
            return_exceptions=True,
        )
        assert all(isinstance(outcome, StorageError) for outcome in outcomes[1:])
        assert trial.connects - connects < 10


async def test_contention_is_tried_again(trial: Trial) -> None:
    trial.before_execute = times(4, ContentionError("deadlock"))
    with working(trial) as writer:
        await writer.write(begin("a"))
        assert trial.rows() == 1


async def test_contention_that_does_not_end_is_reported(trial: Trial) -> None:
    trial.before_execute = times(10**6, ContentionError("deadlock"))
    with working(trial) as writer:
        with pytest.raises(StorageError, match="deadlock"):
            await writer.write(begin("a"))
        trial.before_execute = lambda: None
        assert trial.rows() == 0
        await writer.write(begin("b"))


async def test_a_bug_in_a_connection_does_not_end_the_writer(trial: Trial) -> None:
    trial.before_commit = times(1, ZeroDivisionError("bug"))
    with working(trial) as writer:
        outcomes = await all_of(writer, 10)
        assert not any(isinstance(o, Exception) and "bug" not in str(o) for o in outcomes)
        await writer.write(begin("later"))


async def test_a_closed_writer_refuses(trial: Trial) -> None:
    with working(trial) as writer:
        await writer.write(begin("a"))
    with pytest.raises(StorageError, match="closed"):
        await writer.write(begin("b"))
    assert trial.rows() == 1


async def test_closing_twice_or_without_a_write_is_fine(trial: Trial) -> None:
    with working(trial) as writer:
        writer.close()
    assert trial.connects == 0


async def test_a_loop_that_ended_before_its_answer_disturbs_nobody(trial: Trial) -> None:
    committing, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        trial.before_commit = lambda: None
        committing.set()
        assert go_on.wait(30)

    trial.before_commit = hold
    with working(trial) as writer:

        async def give_up() -> None:
            task = asyncio.create_task(writer.write(begin("a")))
            await asyncio.to_thread(committing.wait, 30)
            task.cancel()

        await asyncio.to_thread(asyncio.run, give_up())
        go_on.set()
        await writer.write(begin("b"))
        assert trial.rows() == 2
