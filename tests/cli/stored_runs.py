"""Runs as a server has left them, for the commands that are about runs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from typer.testing import Result

from licet.agent.output import RunInput, RunOutput
from licet.db.access import THE_SERVER
from licet.db.records import RunRecord, RunStatus, SessionRecord
from licet.db.sqlite import SqliteDb
from licet.db.work_records import ExecutorRecord

PROGRAM = """
from licet.agent import Agent
from licet.db.sqlite import SqliteDb
from licet.os import AgentOS
from licet.testing import ScriptedModel

agent_os = AgentOS(
    agents=[Agent(id="alpha", model=ScriptedModel([]), metadata={"team": "blue"})],
    db=SqliteDb("durable.db"),
)
"""


def put(file: Path, run_id: str, **values: Any) -> None:
    """A run as a server has left it; ``ago`` is how many seconds ago it was begun."""
    now_us = time.time_ns() // 1000 - int(values.pop("ago", 0) * 1_000_000)
    status = values.pop("status", RunStatus.COMPLETED)
    said = values.pop("said", {})
    usual = {"session_id": "s", "component_id": "alpha", "user_id": "olga", "owner": "default|olga"}
    given = {**usual, **values}
    output = RunOutput(
        run_id=run_id,
        session_id=given["session_id"],
        agent_id=given["component_id"],
        agent_name="Alpha",
        status=status,
        created_at=now_us // 1_000_000,
        input=RunInput(said.pop("input", "hi")),
        **said,
    )
    first = RunRecord(
        run_id=run_id,
        status=RunStatus.PENDING if status is RunStatus.PENDING else RunStatus.RUNNING,
        body=output.to_json(),
        created_at_us=now_us,
        updated_at_us=now_us,
        **given,
    )
    session = SessionRecord(
        owner=first.owner,
        session_id=first.session_id,
        created_at_us=now_us,
        updated_at_us=now_us,
    )

    async def stored() -> None:
        db = SqliteDb(file)
        store = db.store(THE_SERVER)
        await store.begin_run(session, first, history_runs=0)
        await store.save_run(replace(first, status=status), session_state=None)
        await db.close()

    asyncio.run(stored())


def register(file: Path, executor_id: str) -> None:
    """A process that lives, as far as anybody knows."""

    async def registered() -> None:
        db = SqliteDb(file)
        record = ExecutorRecord(id=executor_id, started_at_us=time.time_ns() // 1000)
        await db.work().register_executor(record)
        await db.close()

    asyncio.run(registered())


def assert_refused(result: Result, message: str) -> None:
    """Nothing was done, and one line says why."""
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"licet: {message}")
    assert result.stderr.count("\n") == 1
