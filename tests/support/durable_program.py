"""A process that works on durable runs, to be started as a program and killed: see its ``main``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from licet.agent import Agent
from licet.context import RunContext
from licet.db.sqlite import SqliteDb
from licet.db.work_records import QueueLimits
from licet.models.base import ModelRequest
from licet.runs.dbos_engine import DbosEngine
from licet.runs.desk import Desk
from licet.runs.durable import DurableRuns
from licet.runs.executor import Heartbeat, new_executor_id
from licet.runs.logs import RunLogs
from licet.runs.run_authority import RunAuthority
from licet.testing import CallTools, Say, ScriptedModel

TOOL_CALLS = 3
BEAT = Heartbeat(beat_seconds=0.1, dead_seconds=1.0)


def noting(file: Path) -> Any:
    """A tool that writes down when it begins and when it ends, and takes a moment."""

    async def note(context: RunContext) -> str:
        _append(file, f"begin {context.idempotency_key} {os.getpid()}")
        await asyncio.sleep(0.05)
        context.session_state["notes"] = context.session_state.get("notes", 0) + 1
        _append(file, f"end {context.idempotency_key} {os.getpid()}")
        return "noted"

    return note


def _append(file: Path, line: str) -> None:
    # One write to a file that is opened to be added to: lines of several processes do not mix.
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, f"{line} {time.monotonic()}\n".encode())
    finally:
        os.close(handle)


def agent(notes: Path) -> Agent:
    """One that calls its tool in each of some turns, and then answers."""

    def turn(request: ModelRequest) -> CallTools | Say:
        turns = sum(message.role == "assistant" for message in request.messages)
        return CallTools(("note", {})) if turns < TOOL_CALLS else Say("All is noted")

    return Agent(
        id="a", model=ScriptedModel(turn), tools=[noting(notes)], session_state={"notes": 0}
    )


def runs_of(db: SqliteDb, executor_id: str, notes: Path, desks: list[Desk]) -> DurableRuns:
    """What a server puts together."""

    async def may_go_on(_step: object) -> str | None:
        return None

    async def heard(_db_id: str) -> None:
        await desks[0].executor.heard()

    made = agent(notes)
    return DurableRuns(
        DbosEngine(db, executor_id=executor_id),
        executor_id=executor_id,
        agents={made.id: made},
        dbs={db.id: db},
        authority=RunAuthority(
            may_go_on=may_go_on, lost=lambda _: None, ttl=timedelta(seconds=3600)
        ),
        logs=RunLogs(),
        heard=heard,
        slots=2,
    )


async def main(folder: Path) -> None:
    """Work until SIGTERM."""
    db, executor_id = SqliteDb(folder / "licet.db"), new_executor_id()
    desks: list[Desk] = []
    runs = runs_of(db, executor_id, folder / "notes", desks)
    desk = Desk(db, executor_id=executor_id, heartbeat=BEAT, durable=runs, limits=QueueLimits())
    desks.append(desk)
    runs.on_slot_free = desk.wake
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # Before there is work: else the one whose engine starts first does it all.
    await runs.ready()
    await desk.start()
    print(f"works as {executor_id}")  # noqa: T201 - whoever started it waits for that
    await stop.wait()
    await desk.stop_taking()
    await runs.close(grace_seconds=10)
    await desk.close()
    await db.close()
    print("has left")  # noqa: T201 - as above


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
