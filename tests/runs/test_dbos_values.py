"""Nothing is pickled, and what says that it is pickle is refused, wherever the engine reads."""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from licet.agent.steps import KeptError
from licet.db.sqlite import SqliteDb
from licet.errors import ModelError, StorageError
from licet.runs.dbos_engine import DbosEngine
from licet.runs.dbos_values import JsonSerializer, NothingPickled
from licet.runs.engine import Batch, WorkflowState
from tests.support.dbos import db, ended, idle, launched, rows

__all__ = ["db"]


class Trap:
    """Makes a file where it is read as pickle."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.file,))


@pytest.fixture
def trap(tmp_path: Path) -> str:
    """A pickle that leaves a file where it is read."""
    return base64.b64encode(pickle.dumps(Trap(tmp_path / "it was read"))).decode()


@pytest.fixture
def unread(tmp_path: Path) -> Any:
    """Whether no trap was read."""
    return lambda: not (tmp_path / "it was read").exists()


def test_the_trap_would_be_seen(trap: str, unread: Any) -> None:
    pickle.loads(base64.b64decode(trap))  # noqa: S301 - that is what must not be done elsewhere
    assert not unread()


@pytest.mark.parametrize("value", [None, "text", 3, [1, {"a": None}], {"args": [], "kwargs": {}}])
def test_values_are_json(value: Any) -> None:
    stored = JsonSerializer().serialize(value)
    assert json.loads(stored) == value
    assert JsonSerializer().deserialize(stored) == value
    assert JsonSerializer().name() == "licet_json"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ModelError("no answer", provider="p"), "model_error", "no answer"),
        (KeptError("no answer", "model_error"), "model_error", "no answer"),
        (ModelError("no \ud800", provider="p"), "model_error", "no ?"),
        (ValueError("a secret"), "internal_error", "Internal error (ValueError)"),
    ],
    ids=["ours", "kept before", "no unicode", "not ours"],
)
def test_of_a_failure_its_code_is_kept_and_its_text_if_it_is_ours(
    error: Exception, code: str, text: str
) -> None:
    kept = JsonSerializer().deserialize(JsonSerializer().serialize(error))
    assert isinstance(kept, KeptError)
    assert (kept.kept_code, str(kept)) == (code, text)


def test_what_stands_for_pickle_neither_writes_nor_reads_any(trap: str, unread: Any) -> None:
    refused = NothingPickled()
    assert refused.name() == "py_pickle"
    with pytest.raises(StorageError):
        refused.serialize("a value")
    with pytest.raises(StorageError):
        refused.deserialize(trap)
    # A failure to read such a row can be stored in it; that is JSON, and is not read either.
    assert json.loads(refused.serialize(ValueError())) == {
        "$error": ["internal_error", "Internal error (ValueError)"]
    }
    assert unread()


async def _one_step(engine: DbosEngine, _run_id: str) -> None:
    async def tell() -> str:
        await engine.store_events(Batch(0, ("a",)))
        return "told"

    async def fail() -> str:
        raise ValueError("a secret")

    await engine.step()(tell)
    with pytest.raises((ValueError, KeptError)):
        await engine.step()(fail)


async def test_no_row_of_the_engine_is_pickle_or_holds_the_text_of_a_foreign_error(
    db: SqliteDb,
) -> None:
    async with launched(db, _one_step) as engine:
        await engine.start("r", "main")
        await ended(engine)
    for (table,) in rows(db, "SELECT name FROM sqlite_master WHERE type = 'table'"):
        names = [column[1] for column in rows(db, f"PRAGMA table_info({table})")]
        for row in rows(db, f"SELECT * FROM {table}"):  # noqa: S608 - its own names
            value = dict(zip(names, row, strict=True))
            assert value.get("serialization") != "py_pickle"
            assert "a secret" not in str(row)
            for name in ("inputs", "output", "error", "value"):
                if value.get(name) is not None:
                    json.loads(value[name])
    assert rows(db, "SELECT DISTINCT serialization FROM operation_outputs") == [("licet_json",)]


@pytest.fixture
async def left(db: SqliteDb) -> SqliteDb:
    """A database with a run that was left after its first step."""
    reached = asyncio.Event()

    async def work(engine: DbosEngine, _run_id: str) -> None:
        await _one_step(engine, _run_id)
        reached.set()
        await asyncio.Event().wait()

    async with launched(db, work) as engine:
        await engine.start("r", "main")
        await reached.wait()
    return db


async def test_arguments_that_say_they_are_pickle_are_not_read_and_the_run_does_not_wait_for_ever(
    left: SqliteDb, trap: str, unread: Any
) -> None:
    rows(left, f"UPDATE workflow_input SET inputs = '{trap}'")  # noqa: S608 - base64
    rows(left, "UPDATE workflow_status SET serialization = 'py_pickle'")
    begun: list[str] = []

    async def work(_engine: DbosEngine, run_id: str) -> None:
        begun.append(run_id)

    async with launched(left, work, executor_id="p2") as engine:
        await engine.recover("r", living=("p2",))
        # Whoever looks sees that it has ended, and ends its row.
        await ended(engine)
        assert await engine.recover("r", living=("p2",)) is WorkflowState.ENDED
    assert (begun, unread()) == ([], True)


@pytest.mark.parametrize("column", ["output", "error"])
async def test_what_a_step_came_to_and_says_it_is_pickle_is_not_read(
    left: SqliteDb, trap: str, unread: Any, column: str
) -> None:
    rows(
        left,
        f"UPDATE operation_outputs SET serialization = 'py_pickle', {column} = '{trap}' "  # noqa: S608 - base64
        f"WHERE {column} IS NOT NULL",
    )
    seen: list[BaseException] = []

    async def work(engine: DbosEngine, _run_id: str) -> None:
        async def never() -> str:
            raise AssertionError

        for _ in range(2):
            try:
                await engine.step()(never)
            except Exception as error:  # noqa: BLE001 - it is what is looked at
                seen.append(error)

    async with launched(left, work, executor_id="p2") as engine:
        await engine.recover("r", living=("p2",))
        await ended(engine)
    assert any(isinstance(error, StorageError) for error in seen)
    assert not any(isinstance(error, AssertionError) for error in seen)
    assert unread()


async def test_events_that_say_they_are_pickle_are_not_read(
    left: SqliteDb, trap: str, unread: Any
) -> None:
    rows(left, f"UPDATE streams SET serialization = 'py_pickle', value = '{trap}'")  # noqa: S608 - base64
    async with launched(left, idle, executor_id="p2") as engine:
        with pytest.raises(StorageError):
            await anext(engine.events("r", idle_seconds=None))
    assert unread()


@pytest.mark.parametrize("value", ['"no batch"', "7", '"[1, 2]"'])
async def test_events_that_are_no_events_are_said_to_be_unreadable(
    left: SqliteDb, value: str
) -> None:
    rows(left, f"UPDATE streams SET value = '{value}'")  # noqa: S608 - from above
    async with launched(left, idle, executor_id="p2") as engine:
        with pytest.raises(StorageError, match="cannot be read"):
            await anext(engine.events("r", idle_seconds=None))
