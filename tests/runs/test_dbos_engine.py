"""The real engine, on SQLite files."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from licet.agent.steps import KeptError
from licet.db.sqlite import SqliteDb
from licet.errors import ModelError
from licet.runs import dbos_engine
from licet.runs.dbos_engine import DbosEngine
from licet.runs.dbos_process import outside_of_a_run
from licet.runs.engine import Batch, WorkflowState
from tests.support.dbos import db, ended, launched, locked, rows, until

__all__ = ["db"]


class Steps:
    """What was done in steps, by name; a step that waits does so for ``go_on``."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.go_on = asyncio.Event()
        self.waiting = asyncio.Event()

    async def do(self, name: str) -> str:
        self.done.append(name)
        return f"{name} is done"

    async def wait(self) -> str:
        self.waiting.set()
        await self.go_on.wait()
        return await self.do("waiting")


async def test_a_run_that_was_left_goes_on_in_another_process_after_its_last_finished_step(
    db: SqliteDb,
) -> None:
    steps = Steps()

    async def work(engine: DbosEngine, _run_id: str) -> None:
        assert await engine.step()(lambda: steps.do("one")) == "one is done"
        await engine.step()(steps.wait)

    async with launched(db, work) as engine:
        assert await engine.start("r", "main")
        await steps.waiting.wait()
        assert await engine.state("r") is WorkflowState.ACTIVE
        # As long as it lives, nobody else takes it.
        assert await engine.recover("r", living={"p1"}) is WorkflowState.ACTIVE
        assert await engine.recover("another", living=()) is WorkflowState.UNKNOWN
    steps.go_on.set()
    async with launched(db, work, executor_id="p2") as engine:
        assert await engine.recover("r", living={"p2"}) is WorkflowState.ACTIVE
        await ended(engine)
    assert steps.done == ["one", "waiting"]


async def test_what_another_version_began_waits_for_a_process_of_that_version(
    db: SqliteDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    go_on = asyncio.Event()

    async def work(_engine: DbosEngine, run_id: str) -> None:
        begun.append(run_id)
        await go_on.wait()

    async def begin(run_id: str, executor_id: str) -> None:
        async with launched(db, work, executor_id=executor_id) as engine:
            await engine.start(run_id, "main")
            await until(lambda: begun == [run_id])
        begun.clear()

    await begin("old", "p1")
    monkeypatch.setattr(dbos_engine, "VERSION", "licet-0")
    await begin("new", "p2")
    go_on.set()
    async with launched(db, work, executor_id="p3") as engine:
        for run_id in ("old", "new"):
            assert await engine.recover(run_id, living={"p3"}) is WorkflowState.ACTIVE
        # They wait in one queue, the older one in front.
        await ended(engine, "new")
        assert begun == ["new"]
        assert await engine.state("old") is WorkflowState.ACTIVE
    monkeypatch.undo()
    async with launched(db, work, executor_id="p4") as engine:
        await ended(engine, "old")
    assert begun == ["new", "old"]


async def test_what_a_run_was_told_to_be_is_called_by_the_names_that_it_was_given(
    db: SqliteDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBOS__VMID", "local")
    seen: list[str] = []

    async def work(_engine: DbosEngine, run_id: str) -> None:
        seen.append(run_id)

    async with launched(db, work, executor_id="mine-alone") as engine:
        await engine.start("r", "main")
        await ended(engine)
    assert seen == ["r"]
    assert rows(
        db, "SELECT workflow_uuid, executor_id, application_version FROM workflow_status"
    ) == [("r", "mine-alone", "licet-1")]


async def test_what_begins_in_a_process_that_was_slow_to_hear_of_its_end_is_begun_anew(
    db: SqliteDb,
) -> None:
    steps = Steps()
    stale = True

    async def work(engine: DbosEngine, _run_id: str) -> None:
        # The row was another's by then: it does nothing.
        if not stale:
            await engine.step()(lambda: steps.do("one"))

    async with launched(db, work) as engine:
        assert await engine.start("r", "main")
        await ended(engine)
        stale = False
        assert await engine.start("r", "main")
        await ended(engine)
    assert steps.done == ["one"]


async def test_what_another_process_had_begun_before_its_end_is_gone_on_with(db: SqliteDb) -> None:
    steps = Steps()

    async def work(engine: DbosEngine, _run_id: str) -> None:
        await engine.step()(lambda: steps.do("one"))
        await engine.step()(steps.wait)

    async with launched(db, work) as engine:
        await engine.start("r", "main")
        await steps.waiting.wait()
    steps.go_on.set()
    async with launched(db, work, executor_id="p2") as engine:
        assert not await engine.start("r", "main")
        await ended(engine)
    assert steps.done == ["one", "waiting"]


async def test_whoever_no_longer_has_a_run_stores_no_step_of_it_and_ends_nothing(
    db: SqliteDb,
) -> None:
    steps = Steps()
    told: list[str] = []

    async def work(engine: DbosEngine, _run_id: str) -> None:
        try:
            await engine.step()(steps.wait)
            await engine.step()(lambda: steps.do("never"))
        except Exception:
            told.append("as a failure")
            raise

    async with launched(db, work) as engine:
        await engine.start("r", "main")
        await steps.waiting.wait()
        # Another process takes it for dead, and has it.
        rows(db, "UPDATE workflow_status SET owner_xid = 'another', executor_id = 'p2'")
        steps.go_on.set()
        await until(lambda: steps.done)
        # It waits for the other one's end, and stores nothing.
        library = engine._library
        assert library is not None
        await until(lambda: library._active_workflows_set.activeList() == [])
        assert rows(db, "SELECT COUNT(*) FROM operation_outputs") == [(0,)]
        assert await engine.state("r") is WorkflowState.ACTIVE
    assert (steps.done, told) == (["waiting"], [])


async def test_a_step_that_failed_fails_in_the_same_way_when_it_is_gone_on_with(
    db: SqliteDb,
) -> None:
    seen: list[Exception] = []
    held = Steps()

    async def fail() -> str:
        raise ModelError("no \ud800 answer", provider="p")

    async def work(engine: DbosEngine, _run_id: str) -> None:
        try:
            await engine.step()(fail)
        except Exception as error:  # noqa: BLE001 - it is what is looked at
            seen.append(error)
        if len(seen) == 1:
            held.waiting.set()
            await asyncio.Event().wait()

    async with launched(db, work) as engine:
        await engine.start("r", "main")
        await held.waiting.wait()
    async with launched(db, work, executor_id="p2") as engine:
        await engine.recover("r", living=("p2",))
        await ended(engine)
    first, second = seen
    assert isinstance(first, ModelError)
    assert isinstance(second, KeptError)
    assert (second.kept_code, str(second)) == ("model_error", "no ? answer")


async def test_events_are_read_in_order_once_and_to_the_end(db: SqliteDb) -> None:
    at_work = Steps()

    async def work(engine: DbosEngine, _run_id: str) -> None:
        async def tell() -> str:
            await engine.store_events(Batch(0, ("a", "b")))
            # Its writer did not hear that it was stored.
            await engine.store_events(Batch(1, ("b", "c")))
            await engine.store_events(Batch(0, ("a",)))
            return await at_work.wait()

        async def end() -> str:
            await engine.store_events(Batch(3, ("d",)))
            await engine.close_events()
            return "ended"

        await engine.step()(tell)
        await engine.step()(end)

    async with launched(db, work) as engine:
        await engine.start("r", "main")
        await at_work.waiting.wait()
        now = [batch async for batch in engine.events("r", idle_seconds=None)]
        assert now == [Batch(0, ("a", "b")), Batch(2, ("c",))]
        live: list[Batch | None] = []
        async for batch in engine.events("r", idle_seconds=0.05):
            live.append(batch)
            if batch is None:
                # Nothing came for so long: it can be told, and the reading goes on.
                at_work.go_on.set()
        assert None in live
        assert [batch for batch in live if batch] == [*now, Batch(3, ("d",))]
        assert [batch async for batch in engine.events("unknown", idle_seconds=5)] == []


async def test_whoever_reads_when_the_engine_ends_reads_no_further(db: SqliteDb) -> None:
    async def work(_engine: DbosEngine, _run_id: str) -> None:
        await asyncio.Event().wait()

    async with launched(db, work) as engine:
        await engine.start("r", "main")
        reading = engine.events("r", idle_seconds=0.01)
        assert await anext(reading) is None
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(reading), 5)


async def test_whoever_reads_while_the_engine_ends_reads_nothing_more(db: SqliteDb) -> None:
    async def work(_engine: DbosEngine, _run_id: str) -> None:
        await asyncio.Event().wait()

    async with launched(db, work) as engine:
        await engine.start("r", "main")
        ending = asyncio.create_task(engine.close())
        while not ending.done():
            assert [batch async for batch in engine.events("r", idle_seconds=None)] == []
            await asyncio.sleep(0)
        await ending


async def test_what_is_forgotten_is_in_no_table(db: SqliteDb) -> None:
    async def work(engine: DbosEngine, _run_id: str) -> None:
        async def tell() -> str:
            await engine.store_events(Batch(0, ("a",)))
            return "told"

        await engine.step()(tell)

    async with launched(db, work) as engine:
        await engine.start("r", "main")
        await ended(engine)
        assert await engine.ended_before(0) == []
        assert list(await engine.ended_before(4_000_000_000)) == ["r"]
        await engine.forget(["r"])
        assert await engine.state("r") is WorkflowState.UNKNOWN
    for (table,) in rows(db, "SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = [column[1] for column in rows(db, f"PRAGMA table_info({table})")]
        if "workflow_uuid" in columns:
            assert rows(db, f"SELECT * FROM {table}") == [], table  # noqa: S608 - its own names


async def test_a_run_waits_for_its_database_and_goes_on(db: SqliteDb) -> None:
    steps = Steps()

    async def work(engine: DbosEngine, _run_id: str) -> None:
        await engine.step()(steps.wait)
        await engine.step()(lambda: steps.do("two"))

    async with launched(db, work) as engine:
        await engine.start("r", "main")
        await steps.waiting.wait()
        with locked(db):
            steps.go_on.set()
            await until(lambda: steps.done)
            for _ in range(20):
                await asyncio.to_thread(int)
            assert steps.done == ["waiting"]
        await ended(engine)
    assert steps.done == ["waiting", "two"]


async def test_what_is_asked_outside_of_a_run_knows_nothing_of_it() -> None:
    inside: ContextVar[str | None] = ContextVar("inside", default=None)
    inside.set("a run")

    async def see() -> str | None:
        return inside.get()

    assert await outside_of_a_run(see()) is None
    assert inside.get() == "a run"
