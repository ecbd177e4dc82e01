"""Processes that work on durable runs, one after the other, over one database and one engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, cast

import msgspec

from licet.agent import Agent
from licet.agent.output import RunInput, RunOutput
from licet.agent.run_request import RunRequest
from licet.authn.principal import Principal
from licet.db.base import NOBODY, Access, Db
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunRecord
from licet.db.work_records import ClaimedRun, QueueLimits
from licet.runs.durable import DurableRuns
from licet.runs.engine import DurableEngine
from licet.runs.logs import RunLogs
from licet.runs.run_authority import MayGoOn, NextStep, RunAuthority
from licet.testing import ScriptedModel
from tests.support.engine import InMemoryEngine, MortalDb, Process, Stored

DB_ID = "main"
EVERYTHING = Access(NOBODY, sees_all=True)


async def nobody_objects(_step: NextStep) -> str | None:
    """Everybody may go on."""
    return None


async def at_once(_db_id: str) -> None:
    """This process is heard of."""


def asked(run_id: str = "r", session_id: str = "s", **values: Any) -> RunRequest:
    """What somebody asked an agent."""
    return RunRequest(
        **{"input": RunInput("hi"), "run_id": run_id, "session_id": session_id, **values}
    )


class Worker:
    """One process, as far as it works on durable runs.

    ``heard`` waits until it is heard of; ``may_go_on`` is asked about authority.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        db: Db,
        stored: Stored | None = None,
        engine: DurableEngine | None = None,
        executor_id: str = "p1",
        process: Process | None = None,
        slots: int = 8,
        heard: Callable[[str], Awaitable[None]] = at_once,
        may_go_on: MayGoOn = nobody_objects,
        lost: Callable[[Principal | None], str | None] = lambda _: None,
        ttl_seconds: float = 1000.0,
    ) -> None:
        self.process = process or Process()
        self.agent = agent
        self.db = cast("Db", MortalDb(db, self.process))
        self.logs = RunLogs()
        self.executor_id = executor_id
        self.engine = cast(
            "InMemoryEngine",
            engine
            or InMemoryEngine(
                {} if stored is None else stored, executor_id=executor_id, process=self.process
            ),
        )
        self.runs = DurableRuns(
            self.engine,
            executor_id=executor_id,
            agents={agent.id: agent},
            dbs={DB_ID: self.db},
            authority=RunAuthority(
                may_go_on=may_go_on, lost=lost, ttl=timedelta(seconds=ttl_seconds)
            ),
            logs=self.logs,
            heard=heard,
            slots=slots,
        )

    @property
    def full(self) -> bool:
        """Whether it takes on nothing more."""
        return not self.runs.has_room

    async def enqueue(self, run_id: str = "r", session_id: str = "s", **values: Any) -> None:
        """Have a run wait."""
        await self.runs.enqueue(
            self.agent,
            asked(run_id, session_id, **values),
            self.db.store(EVERYTHING),
            limits=QueueLimits(),
        )

    async def claim(self, *, unserved_before_us: int = 0) -> ClaimedRun:
        """Take the next run on, without beginning with it."""
        claimed = await self.db.work().claim(
            self.executor_id,
            agent_ids=self.runs.agent_ids,
            unserved_before_us=unserved_before_us,
            limits=QueueLimits(),
            now_us=time.time_ns() // 1000,
        )
        assert claimed is not None
        return claimed

    async def begin(self, run_id: str = "r", **values: Any) -> asyncio.Task[None]:
        """Have a run wait, take it on, and begin with it. Answers its work."""
        await self.enqueue(run_id, **values)
        await self.runs.start(await self.claim(), DB_ID)
        return self.engine.tasks[run_id]

    async def go_on(self, run_id: str = "r") -> asyncio.Task[None]:
        """Go on with a run that another process has left."""
        await self.runs.ready()
        return self.engine.restart(run_id)


async def row(db: Db, run_id: str = "r") -> RunRecord:
    """A run as it is stored."""
    found = await db.store(EVERYTHING).find_run(run_id)
    assert found is not None
    return found


async def output(db: Db, run_id: str = "r") -> RunOutput:
    """What a run came to, as it is stored."""
    return RunOutput.from_json((await row(db, run_id)).body)


async def eventually(
    holds: Callable[[], object], what: str = "it", *, timeout_seconds: float = 20.0
) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it does not, in all that time.
    """
    deadline = time.monotonic() + timeout_seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen"
        await asyncio.sleep(0.002)


async def moments() -> None:
    """Let everybody come as far as they can without waiting for the time."""
    for _ in range(50):
        await asyncio.sleep(0)


def events(frames: Sequence[str]) -> list[dict[str, Any]]:
    """Frames as values, each with its index as ``id``."""
    found: list[dict[str, Any]] = []
    for each in frames:
        _, id_line, data_line = each.strip().split("\n")
        value = msgspec.json.decode(data_line.removeprefix("data: "))
        found.append({**value, "id": int(id_line.removeprefix("id: "))})
    return found


def names(frames: Sequence[str]) -> list[str]:
    """The names of events."""
    return [event["event"] for event in events(frames)]


def saying(*turns: Any) -> tuple[Agent, ScriptedModel]:
    """An agent whose model says these things."""
    model = ScriptedModel(list(turns))
    return Agent(id="a", model=model, durable=True), model


__all__ = ["InMemoryDb", "Worker"]
