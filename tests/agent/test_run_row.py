"""The answer of a run outlives a database that is away for a while."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from licet.agent import Agent
from licet.agent.output import RunInput, RunOutput
from licet.agent.run import AgentRun
from licet.agent.run_request import RunRequest
from licet.agent.run_row import RunRow
from licet.db.base import NOBODY, Access, Db
from licet.db.in_memory import InMemoryDb
from licet.db.postgres import PostgresDb
from licet.db.records import RunStatus, Saving, SessionKey
from licet.errors import StorageUnavailableError
from licet.testing import ScriptedModel
from tests.support.postgres import EmbeddedPostgres, reachable_folder


class AwayStore:
    """A store that cannot be reached for the next ``times`` saves."""

    def __init__(self, db: Db, times: int) -> None:
        self._store = db.store(Access(NOBODY))
        self.times = times

    async def save_run(self, *args: Any, **kwargs: Any) -> Saving:
        self.times -= 1
        if self.times >= 0:
            raise StorageUnavailableError("the host db.internal is away")
        return await self._store.save_run(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class WatchedStore:
    """A store that tells when a save has failed."""

    def __init__(self, db: Db) -> None:
        self._store = db.store(Access(NOBODY))
        self.failed = asyncio.Event()

    async def save_run(self, *args: Any, **kwargs: Any) -> Saving:
        try:
            return await self._store.save_run(*args, **kwargs)
        except StorageUnavailableError:
            self.failed.set()
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def run_of(model: ScriptedModel, store: Any) -> AgentRun:
    asked = RunRequest(input=RunInput("hi"), run_id="r", session_id="s")
    return AgentRun(Agent(id="a", model=model), asked, store=store)


async def stored(db: Db) -> RunOutput:
    run = await db.store(Access(NOBODY)).get_run(SessionKey(NOBODY, "s"), "r")
    assert run is not None
    return RunOutput.from_json(run.body)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "real" not in request.node.name:
        monkeypatch.setattr("licet.agent.run_row._RETRY_AFTER_SECONDS", (0.0, 0.0, 0.0))


async def test_a_database_that_comes_back_gets_the_answer() -> None:
    db = InMemoryDb()
    run = run_of(ScriptedModel(["ok"]), AwayStore(db, times=3))
    await run.begin()
    assert (await run.finish()).status is RunStatus.COMPLETED
    assert (await stored(db)).content == "ok"


async def test_one_that_stays_away_is_a_failure_that_names_no_host() -> None:
    db = InMemoryDb()
    run = run_of(ScriptedModel(["ok"]), AwayStore(db, times=100))
    await run.begin()
    output = await run.finish()
    assert (output.status, output.error_type) == (RunStatus.ERROR, "storage_unavailable")
    assert "db.internal" not in output.to_json().decode()


async def test_a_real_server_that_restarts_while_a_run_works_loses_nothing() -> None:
    gate = asyncio.Event()
    model = ScriptedModel(["ok"], hold=gate)
    with reachable_folder() as folder, EmbeddedPostgres(folder / "postgres", port=None) as server:
        server.create_role_and_database("licet")
        db = PostgresDb(server.url("licet"))
        await db.open()
        store = WatchedStore(db)
        run = run_of(model, store)
        await run.begin()
        working = asyncio.ensure_future(run.finish())
        await model.wait_for_requests(1)
        await asyncio.to_thread(server.stop)
        gate.set()
        async with asyncio.timeout(20):
            await store.failed.wait()
        await asyncio.to_thread(server.start)
        assert (await working).status is RunStatus.COMPLETED
        assert (await stored(db)).content == "ok"
        await db.close()


async def ended_elsewhere(db: Db, status: RunStatus, body: RunOutput) -> None:
    """Let a run end as another process does."""
    store = db.store(Access(NOBODY))
    record = await store.find_run("r")
    assert record is not None
    theirs = replace(record, status=status, body=body.to_json())
    assert await store.save_run(theirs, session_state=None) is Saving.SAVED


async def test_what_somebody_else_has_ended_is_answered_as_they_stored_it() -> None:
    db, gate = InMemoryDb(), asyncio.Event()
    model = ScriptedModel(["late"], hold=gate)
    run = run_of(model, db.store(Access(NOBODY)))
    theirs = msgspec.structs.replace(
        await run.begin(), status=RunStatus.ERROR, content="given up", error_type="executor_died"
    )
    working = asyncio.ensure_future(run.finish())
    await model.wait_for_requests(1)
    await ended_elsewhere(db, RunStatus.ERROR, theirs)
    gate.set()
    output = await working
    assert (output.status, output.content, output.error_type) == (
        RunStatus.ERROR,
        "given up",
        "executor_died",
    )
    assert (await stored(db)).content == "given up"


async def test_a_failure_to_store_does_not_hide_what_somebody_else_has_stored() -> None:
    db = InMemoryDb()
    row = RunRow(db.store(Access(NOBODY)), owner=NOBODY, began=1.0, now=lambda: 2.0)
    asked = run_of(ScriptedModel(["ok"]), None).output
    await row.begin(asked, first_state={}, history_runs=0)
    theirs = msgspec.structs.replace(asked, status=RunStatus.CANCELLED, content="theirs")
    await ended_elsewhere(db, RunStatus.CANCELLED, theirs)
    output = await row.end(msgspec.structs.replace(asked, session_state={"bad": object()}))
    assert (output.status, output.content) == (RunStatus.CANCELLED, "theirs")


async def test_a_run_that_was_deleted_meanwhile_is_answered_as_it_was_reached() -> None:
    db = InMemoryDb()
    run = run_of(ScriptedModel(["ok"]), db.store(Access(NOBODY)))
    await run.begin()
    await db.store(Access(NOBODY)).delete_sessions([SessionKey(NOBODY, "s")])
    output = await run.finish()
    assert (output.status, output.content) == (RunStatus.COMPLETED, "ok")


async def test_a_row_says_who_works_on_it_and_another_one_does_not_end_it() -> None:
    db = InMemoryDb()
    store = db.store(Access(NOBODY))
    asked = run_of(ScriptedModel(["ok"]), None).output
    mine, theirs = (
        RunRow(store, owner=NOBODY, began=1.0, now=lambda: 2.0, executor_id=name)
        for name in ("mine", "theirs")
    )
    await mine.begin(asked, first_state={}, history_runs=0)
    record = await store.find_run("r")
    assert record is not None
    assert record.executor_id == "mine"
    done = msgspec.structs.replace(asked, status=RunStatus.COMPLETED, content="done")
    assert (await theirs.end(done)).status is RunStatus.RUNNING
    assert (await stored(db)).status is RunStatus.RUNNING
    assert (await mine.end(done)).content == "done"
    assert (await stored(db)).content == "done"
