from __future__ import annotations

from dataclasses import replace

import pytest

from licet.agent.output import RunInput, RunOutput
from licet.db.base import Access
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunRecord, RunStatus
from licet.runs.orphans import DIED, EVERYTHING, end_orphan
from tests.contract.rows import run, session

ALICE = Access("alice")


async def working(db: InMemoryDb, body: bytes | None = None) -> RunRecord:
    """A run that a process works on."""
    output = RunOutput(
        run_id="r",
        session_id="s",
        agent_id="agent",
        agent_name="Agent",
        status=RunStatus.RUNNING,
        created_at=7,
        input=RunInput("what was asked"),
    )
    record = run("s", run_id="r", executor_id="p1", body=body or output.to_json())
    await db.store(ALICE).begin_run(session("s"), record, history_runs=0)
    return record


async def ended(db: InMemoryDb) -> tuple[RunRecord, RunOutput]:
    record = await db.store(EVERYTHING).find_run("r")
    assert record is not None
    return record, RunOutput.from_json(record.body)


async def test_a_run_that_nobody_works_on_ends_and_says_why() -> None:
    db = InMemoryDb()
    record = await working(db)
    assert await end_orphan(db, record, why=DIED, error_type="process_died")
    row, output = await ended(db)
    assert row.status is output.status is RunStatus.ERROR
    assert (output.content, output.error_type) == (DIED, "process_died")
    assert output.input.input_content == "what was asked"
    assert row.owner == "alice"


async def test_what_somebody_else_works_on_or_has_ended_is_left_alone() -> None:
    db = InMemoryDb()
    record = await working(db)
    taken = replace(record, executor_id="p2")
    assert not await end_orphan(db, taken, why=DIED, error_type="process_died")
    done = replace(record, status=RunStatus.COMPLETED)
    await db.store(ALICE).save_run(done, session_state=None)
    assert not await end_orphan(db, record, why=DIED, error_type="process_died")
    assert (await db.store(EVERYTHING).find_run("r") or record).status is RunStatus.COMPLETED


@pytest.mark.parametrize("body", [b'{"status": "OF A LATER VERSION"}', b"{}", b"[]"], ids=str)
async def test_a_run_that_cannot_be_read_ends_all_the_same(body: bytes) -> None:
    db = InMemoryDb()
    record = await working(db, body)
    assert await end_orphan(db, record, why=DIED, error_type="process_died")
    row, output = await ended(db)
    assert (row.status, output.content, output.agent_id) == (RunStatus.ERROR, DIED, "agent")


async def test_the_time_of_a_run_does_not_go_back() -> None:
    db = InMemoryDb()
    record = replace(await working(db), updated_at_us=9_000_000_000_000_000)
    assert await end_orphan(db, record, why=DIED, error_type="process_died")
    assert (await ended(db))[0].updated_at_us == 9_000_000_000_000_000
