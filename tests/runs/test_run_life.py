"""Any sequence of what clients and crashes do: every run moves as it may, and comes to an end.

Each move of each run is noted by the database itself, in a table that a trigger fills.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from licet.agent import Agent
from licet.agent.output import RunInput
from licet.agent.run import AgentRun
from licet.agent.run_request import RunRequest, new_id
from licet.db.base import Access
from licet.db.records import SessionKey
from licet.db.run_states import ENDED
from licet.db.sqlite import SqliteDb
from licet.db.work_records import QueueLimits
from licet.errors import LicetError
from licet.models.base import ModelRequest, ModelResponse, OnText
from licet.runs.cancelling import cancel_run
from licet.runs.executor import Heartbeat
from licet.runs.run_authority import RunAuthority
from licet.runs.run_queue import RunQueue
from licet.runs.runner import Runner, RunnerSettings
from tests.support.examples import examples
from tests.support.firings import Ledger, LedgerRuns
from tests.support.life import check_moves, crash, note_moves
from tests.support.sqlite import migrated

T = TypeVar("T")

SESSIONS = ("s", "t")
ACCESS = Access("olga")
DEADLINE_SECONDS = 30.0


class HeldModel:
    """Answers when it is let, and not before."""

    id, name, provider = "held", "Held", "Test"

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def respond(
        self,
        request: ModelRequest,  # noqa: ARG002 - the protocol's
        *,
        on_text: OnText | None = None,
        on_reasoning: OnText | None = None,  # noqa: ARG002 - as above
    ) -> ModelResponse:
        await self.open.wait()
        if on_text is not None:
            on_text("done")
        return ModelResponse(text="done")

    async def aclose(self) -> None:
        """Nothing is open."""


class House:
    """One database, and the process that works on it; a crash leaves all as it stands."""

    def __init__(self, folder: Path) -> None:
        self.file = migrated(folder / "licet.db")
        self.db = SqliteDb(self.file)
        self.model = HeldModel()
        self.agent = Agent(id="a", model=self.model, db=self.db)
        self.store = self.db.store(ACCESS)
        self.runner = self._new_runner()

    def _new_runner(self) -> Runner:
        async def may_go_on(_step: object) -> str | None:
            return None

        return Runner(
            agents={"a": self.agent},
            dbs={self.db.id: self.db},
            authority=RunAuthority(may_go_on=may_go_on, lost=lambda _: None, ttl=timedelta(days=1)),
            scheduled=LedgerRuns(Ledger(self.db)),
            settings=RunnerSettings(
                queue=RunQueue(per_process=2),
                heartbeat=Heartbeat(beat_seconds=0.05, dead_seconds=0.5),
                grace_seconds=0.2,
                events_kept_seconds=60.0,
            ),
        )

    async def start(self) -> None:
        await self.db.open()
        note_moves(self.file)
        await self.runner.start()

    async def crash(self) -> None:
        await crash(self.runner)
        self.runner = self._new_runner()
        await self.runner.start()

    async def restart(self) -> None:
        """As the operator does it."""
        await self.runner.close()
        self.runner = self._new_runner()
        await self.runner.start()

    async def close(self) -> None:
        self.model.open.set()
        await self.runner.close()
        await self.db.close()

    def request(self, session_id: str) -> RunRequest:
        return RunRequest(
            input=RunInput("hi"), run_id=new_id(), session_id=session_id, owner=ACCESS.owner
        )

    async def begin(self, session_id: str) -> RunRequest:
        request = self.request(session_id)
        execution = self.runner.execution(self.agent, request)
        run = AgentRun(self.agent, request, store=self.store, execution=execution)
        await self.runner.foreground.begin(run)
        return request

    async def enqueue(self, session_id: str) -> RunRequest:
        request = self.request(session_id)
        assert self.runner.durable is not None
        await self.runner.durable.enqueue(self.agent, request, self.store, limits=QueueLimits())
        await self.runner.tell_work(self.db.id)
        return request

    async def cancel(self, request: RunRequest) -> None:
        run = await self.store.find_run(request.run_id)
        if run is not None:
            with suppress(LicetError):
                await cancel_run(
                    run,
                    store=self.store,
                    stop_here=self.runner.cancel,
                    reason="asked",
                    now_us=time.time_ns() // 1000,
                )

    async def answer_for_a_moment(self) -> None:
        self.model.open.set()
        await asyncio.sleep(0)
        self.model.open.clear()

    async def until_all_ended(self, requests: Sequence[RunRequest]) -> None:
        self.model.open.set()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            found = [await self.store.find_run(request.run_id) for request in requests]
            if all(run is None or run.status in ENDED for run in found):
                return
            assert time.monotonic() < deadline, [run.status for run in found if run is not None]
            await asyncio.sleep(0.01)


class Life(RuleBasedStateMachine):
    """Clients begin, enqueue, cancel and delete; the model answers or does not; processes die."""

    runs: Bundle[RunRequest] = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.house = House(self.folder)
        self.begun: list[RunRequest] = []

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def start(self) -> None:
        self.do(self.house.start())

    @rule(target=runs, session_id=st.sampled_from(SESSIONS))
    def begin(self, session_id: str) -> RunRequest:
        self.begun.append(self.do(self.house.begin(session_id)))
        return self.begun[-1]

    @rule(target=runs, session_id=st.sampled_from(SESSIONS))
    def enqueue(self, session_id: str) -> RunRequest:
        self.begun.append(self.do(self.house.enqueue(session_id)))
        return self.begun[-1]

    @rule(request=runs)
    def cancel(self, request: RunRequest) -> None:
        self.do(self.house.cancel(request))

    @rule(session_id=st.sampled_from(SESSIONS))
    def delete(self, session_id: str) -> None:
        self.do(self.house.store.delete_sessions([SessionKey(ACCESS.owner, session_id)]))

    @rule()
    def answer(self) -> None:
        self.do(self.house.answer_for_a_moment())

    @rule(seconds=st.sampled_from([0.0, 0.02, 0.2]))
    def let_time_pass(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    @rule()
    def crash(self) -> None:
        self.do(self.house.crash())

    @rule()
    def restart(self) -> None:
        self.do(self.house.restart())

    def teardown(self) -> None:
        try:
            self.do(self.house.until_all_ended(self.begun))
            check_moves(self.house.file)
        finally:
            self.do(self.house.close())
            self.loop.close()
            shutil.rmtree(self.folder)


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=examples(0.12),
    stateful_step_count=12,
    suppress_health_check=[HealthCheck.too_slow],
)
