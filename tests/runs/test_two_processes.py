"""Real processes over one SQLite file, of which some are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from licet.agent.output import RunOutput
from licet.db.records import RunStatus
from licet.db.sqlite import SqliteDb
from licet.db.work_records import QueueLimits
from licet.runs.dbos_values import JsonSerializer
from licet.runs.engine import Batch
from tests.support.durable import EVERYTHING, asked, events
from tests.support.durable_program import TOOL_CALLS, runs_of
from tests.support.process import Process, running

REPOSITORY = Path(__file__).parents[2]
RUNS = 10


class House:
    """A folder with a database, and the processes that work on it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        self.db = SqliteDb(folder / "licet.db")
        self._stack = stack

    def worker(self) -> Process:
        """Start a process."""
        program = "tests.support.durable_program"
        command: list[str | Path] = [sys.executable, "-m", program, self.folder]
        return self._stack.enter_context(running(command, cwd=REPOSITORY))

    def two_workers(self) -> tuple[Process, Process]:
        """Start two processes at once, and wait until both work."""
        first, second = self.worker(), self.worker()
        first.wait_for(lambda: "works as" in first.output, what="its name")
        second.wait_for(lambda: "works as" in second.output, what="its name")
        return first, second

    async def enqueue(self, count: int) -> None:
        runs = runs_of(self.db, "nobody", self.notes, [])
        for number in range(count):
            await runs.enqueue(
                runs._agents["a"],
                asked(f"r{number}", session_id=f"s{number}"),
                self.db.store(EVERYTHING),
                limits=QueueLimits(),
            )
        await self.db.work().raise_work()

    async def outputs(self, count: int) -> list[RunOutput]:
        """What the runs came to, when all have ended."""
        found: list[RunOutput] = []
        async with asyncio.timeout(60):
            for number in range(count):
                while True:
                    row = await self.db.store(EVERYTHING).find_run(f"r{number}")
                    assert row is not None
                    if row.status not in (RunStatus.PENDING, RunStatus.RUNNING):
                        found.append(RunOutput.from_json(row.body))
                        break
                    await asyncio.sleep(0.05)
        return found

    def noted(self) -> list[list[str]]:
        """The lines of all processes: what, the call's key, which process, when."""
        return [line.split() for line in self.notes.read_text().splitlines()]

    def told(self, run_id: str) -> list[str]:
        """The frames of a run, as they are stored."""
        connection = sqlite3.connect(self.folder / "licet-steps.db", timeout=10)
        query = 'SELECT value FROM streams WHERE workflow_uuid = ? ORDER BY "offset"'
        try:
            values = [str(value) for (value,) in connection.execute(query, (run_id,))]
        finally:
            connection.close()
        texts = [value for value in values if value.startswith('"[')]
        batches = [
            msgspec.json.decode(JsonSerializer().deserialize(text), type=Batch) for text in texts
        ]
        return [frame for batch in batches for frame in batch.frames]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path, stack)


def at_once(noted: list[list[str]]) -> list[str]:
    """Calls of which two were under way at one time, both by living processes."""
    under_way: dict[str, str] = {}
    found: list[str] = []
    for what, key, process, _ in noted:
        if what == "end":
            under_way.pop(key, None)
        else:
            if under_way.get(key) == process:
                found.append(key)
            under_way[key] = process
    return found


async def test_two_processes_on_one_file_do_each_step_of_each_run_once(house: House) -> None:
    await house.db.open()
    first, second = house.two_workers()
    await house.enqueue(RUNS)
    outputs = await house.outputs(RUNS)
    assert {output.status for output in outputs} == {RunStatus.COMPLETED}
    noted = house.noted()
    assert Counter(key for what, key, *_ in noted if what == "begin") == Counter(
        f"r{run}-{turn}-0" for run in range(RUNS) for turn in range(TOOL_CALLS)
    )
    assert {(output.session_state or {})["notes"] for output in outputs} == {TOOL_CALLS}
    # Each run was one process's alone.
    workers = defaultdict(set)
    for _, key, process, _ in noted:
        workers[key.split("-")[0]].add(process)
    assert {len(processes) for processes in workers.values()} == {1}
    assert {process for _, _, process, _ in noted} == {
        str(process.popen.pid) for process in (first, second)
    }
    assert first.popen.poll() is None
    assert second.popen.poll() is None
    await house.db.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
async def test_what_a_process_leaves_is_gone_on_with_by_the_other_one(
    house: House, how: signal.Signals
) -> None:
    await house.db.open()
    first, second = house.two_workers()
    await house.enqueue(RUNS)
    own = str(first.popen.pid)

    def in_the_middle() -> bool:
        noted = house.noted() if house.notes.exists() else []
        return sum(what == "end" and process == own for what, _, process, _ in noted) >= 3

    first.wait_for(in_the_middle, what="some of its tool calls")
    os.kill(first.popen.pid, how)
    outputs = await house.outputs(RUNS)
    assert {output.status for output in outputs} == {RunStatus.COMPLETED}
    assert {len(output.tools) for output in outputs} == {TOOL_CALLS}
    noted = house.noted()
    begun = Counter(key for what, key, *_ in noted if what == "begin")
    assert set(begun) == {f"r{run}-{turn}-0" for run in range(RUNS) for turn in range(TOOL_CALLS)}
    again = {key for key, count in begun.items() if count > 1}
    ended_first = {key for what, key, process, _ in noted if what == "end" and process == own}
    if how is signal.SIGTERM:
        # It let its steps end, and stored them.
        assert again == set()
        first.wait_for(lambda: "has left" in first.output, what="its leaving")
    else:
        # At most one call of each run was under way, or not yet stored.
        assert max(Counter(key.split("-")[0] for key in again).values(), default=0) <= 1
    assert len(ended_first) >= 3
    assert at_once(noted) == []
    for number in range(RUNS):
        told = events(house.told(f"r{number}"))
        assert [event["id"] for event in told] == list(range(len(told)))
        assert told[-1]["event"] == "RunCompleted"
    assert second.popen.poll() is None
    await house.db.close()
