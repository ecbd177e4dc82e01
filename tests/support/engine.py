"""An engine of durable runs in memory, whose process can die at any write.

What is stored is an object of its own: a process that died is followed by a new engine on it, as a
real one is by another process on the same database.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from licet.agent.steps import KeptError
from licet.db.base import Access, Db, Store
from licet.db.steps_database import StepsDatabase
from licet.errors import LicetError
from licet.runs.engine import Batch, Step, Work, WorkflowState
from tests.support.cron import InMemoryCron

T = TypeVar("T")

_RUN: ContextVar[_Execution | None] = ContextVar("_RUN", default=None)


class Died(BaseException):
    """The process is dead: nothing of it goes on."""


class Process:
    """A process that dies at its ``dies_at``-th write (from 0): just before it, or just after.

    Its writes take their time: another one for each ``seed``.
    """

    def __init__(self, *, dies_at: int | None = None, stored: bool = False, seed: int = 0) -> None:
        self.writes = 0
        self.died = asyncio.Event()
        self._dies_at = dies_at
        self._stored = stored
        self._random = random.Random(seed)  # noqa: S311 - for the order of things

    async def write(self, do: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Write something, unless the process is dead."""
        self._live()
        # Whoever waits for a database lets others go on.
        for _ in range(self._random.randrange(1, 12)):
            await asyncio.sleep(0)
        self._live()
        dies = self.writes == self._dies_at
        self.writes += 1
        if not dies:
            written = await do()
            await asyncio.sleep(0)
            self._live()
            return written
        if self._stored:
            await do()
        self.died.set()
        raise Died

    def _live(self) -> None:
        if self.died.is_set():
            raise Died


@dataclass
class StoredRun:
    """What an engine has of one run."""

    executor_id: str
    db_id: str
    state: WorkflowState = WorkflowState.ACTIVE
    owner: object = None
    steps: dict[int, str | KeptError] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    closed: bool = False

    @property
    def frames(self) -> list[str]:
        """All frames, in the order in which they were stored."""
        return [frame for batch in self.batches for frame in batch.frames]


Stored = dict[str, StoredRun]


@dataclass
class _Execution:
    run: StoredRun
    owner: object
    next_step: int = 0


class InMemoryEngine:
    """``DurableEngine`` without a database. ``process`` says when it dies."""

    def __init__(self, stored: Stored, *, executor_id: str, process: Process | None = None) -> None:
        self.stored = stored
        self.process = process or Process()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.begun: list[str] = []
        self.launches = 0
        self.launch_failures: list[Exception] = []
        self.start_failures: list[BaseException] = []
        self.cron = InMemoryCron()
        self._executor_id = executor_id
        self._work: Work | None = None

    @property
    def db_id(self) -> str:
        return MortalDb.id

    async def launch(self, work: Work) -> None:
        self.launches += 1
        if self.launch_failures:
            raise self.launch_failures.pop(0)
        self._work = work

    async def close(self) -> None:
        self._work = None

    async def start(self, work_id: str, db_id: str) -> bool:
        if self.start_failures:
            raise self.start_failures.pop(0)
        found = self.stored.get(work_id)
        if found is not None and found.state is WorkflowState.ACTIVE:
            self.restart(work_id)
            return True

        async def insert() -> StoredRun:
            self.stored[work_id] = StoredRun(self._executor_id, db_id)
            return self.stored[work_id]

        self._begin(work_id, await self.process.write(insert))
        return True

    def restart(self, run_id: str) -> asyncio.Task[None]:
        """Take a run from the queue of those that are to be gone on with."""
        run = self.stored[run_id]
        run.executor_id = self._executor_id
        return self._begin(run_id, run)

    def _begin(self, run_id: str, run: StoredRun) -> asyncio.Task[None]:
        run.owner = object()
        self.begun.append(run_id)
        task = asyncio.create_task(self._run(run_id, run, run.owner))
        # As the real one: nobody has to ask how it ended.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self.tasks[run_id] = task
        return task

    async def _run(self, run_id: str, run: StoredRun, owner: object) -> None:
        assert self._work is not None
        _RUN.set(_Execution(run, owner))
        try:
            await self._work(run_id, run.db_id)
        except Exception:
            run.state = WorkflowState.ENDED
            raise
        if run.owner is owner:

            async def end() -> None:
                run.state = WorkflowState.ENDED

            await self.process.write(end)

    def step(self) -> Step:
        execution = _execution()
        execution.next_step += 1
        return _Step(self, execution, execution.next_step)

    async def store_events(self, batch: Batch) -> None:
        async def append(run: StoredRun) -> None:
            run.batches.append(batch)

        await self.write(append)

    async def close_events(self) -> None:
        async def close(run: StoredRun) -> None:
            run.closed = True

        await self.write(close)

    async def write(self, do: Callable[[StoredRun], Coroutine[Any, Any, None]]) -> None:
        """Write for the run at work, as long as it is this execution's."""
        execution = _execution()

        async def owned() -> None:
            if execution.run.owner is not execution.owner:
                raise Died
            await do(execution.run)

        await self.process.write(owned)

    async def events(
        self, work_id: str, *, idle_seconds: float | None
    ) -> AsyncGenerator[Batch | None, None]:
        run = self.stored.get(work_id)
        place = 0
        while run is not None:
            await asyncio.sleep(0)
            for batch in run.batches[place:]:
                place += 1
                yield batch
            ended = run.closed or run.state is WorkflowState.ENDED
            if place == len(run.batches) and (idle_seconds is None or ended):
                return

    async def state(self, work_id: str) -> WorkflowState:
        found = self.stored.get(work_id)
        return WorkflowState.UNKNOWN if found is None else found.state

    async def recover(self, work_id: str, *, living: Collection[str]) -> WorkflowState:
        found = self.stored.get(work_id)
        active = found is not None and found.state is WorkflowState.ACTIVE
        if found is not None and active and found.executor_id not in living:
            # It is this process that takes it from the queue.
            self.restart(work_id)
        return await self.state(work_id)

    async def abandoned(self, *, living: Collection[str]) -> Sequence[str]:
        return [
            name
            for name, run in self.stored.items()
            if run.state is WorkflowState.ACTIVE and run.executor_id not in living
        ]

    async def forget(self, work_ids: Sequence[str]) -> None:
        for work_id in work_ids:
            del self.stored[work_id]

    async def ended_before(self, epoch_seconds: float) -> Sequence[str]:  # noqa: ARG002 - all
        return [name for name, run in self.stored.items() if run.state is WorkflowState.ENDED]


class _Step:
    def __init__(self, engine: InMemoryEngine, execution: _Execution, place: int) -> None:
        self._engine = engine
        self._execution = execution
        self._place = place

    async def __call__(self, do: Callable[[], Coroutine[Any, Any, str]]) -> str:
        await asyncio.sleep(0)
        kept = self._execution.run.steps.get(self._place)
        if isinstance(kept, KeptError):
            raise KeptError(str(kept), kept.kept_code)
        if kept is not None:
            return kept
        try:
            result = await do()
        except Exception as error:
            code = error.code if isinstance(error, LicetError) else "internal_error"
            await self._record(KeptError(str(error), code))
            raise
        await self._record(result)
        return result

    async def _record(self, result: str | KeptError) -> None:
        async def record(run: StoredRun) -> None:
            assert self._place not in run.steps
            run.steps[self._place] = result

        await self._engine.write(record)


def _execution() -> _Execution:
    execution = _RUN.get()
    assert execution is not None, "only in the work of a run"
    return execution


class MortalDb:
    """A database as a process sees it: once the process has died, it writes nothing more."""

    id = "main"

    def __init__(self, db: Db, process: Process) -> None:
        self._db = db
        self._process = process

    async def steps_database(self) -> StepsDatabase:
        """It lasts, as far as these tests go."""
        raise AssertionError

    def store(self, access: Access) -> Store:
        return cast("Store", _Mortal(self._db.store(access), self._process))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


class _Mortal:
    _WRITES = frozenset(("enqueue_run", "work_on_run", "save_run"))

    def __init__(self, store: Store, process: Process) -> None:
        self._store = store
        self._process = process

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in self._WRITES:
            return method

        async def write(*args: Any, **kwargs: Any) -> Any:
            return await self._process.write(lambda: method(*args, **kwargs))

        return write
