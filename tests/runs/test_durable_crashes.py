"""A run whose process dies, at whichever write: what is stored is right, and whole, and once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from licet.agent import Agent
from licet.context import RunContext
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunStatus
from licet.models.base import ModelRequest, ModelResponse, OnText
from licet.runs.engine import WorkflowState
from licet.testing import CallTools, Say, ScriptedModel
from tests.support.durable import Worker, events, output, row
from tests.support.engine import Died, Process, Stored

MODEL_SAYS = ("Let me see. ", "And now? ", "It is all done.")
SEEDS = 6
TOOLS = ("alpha", "beta", "gamma", "delta")


@dataclass
class Scene:
    """Everything that outlives a process, and what each process did."""

    db: InMemoryDb = field(default_factory=InMemoryDb)
    stored: Stored = field(default_factory=dict)
    calls: list[Counter[str]] = field(default_factory=list)
    stored_before: list[set[str]] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)

    def worker(self, process: Process) -> Worker:
        """The next process."""
        calls: Counter[str] = Counter()
        self.calls.append(calls)
        self.stored_before.append(self._stored_tools())
        made = Worker(
            _agent(process, calls),
            db=self.db,
            stored=self.stored,
            process=process,
            executor_id=f"p{len(self.calls)}",
        )
        self.workers.append(made)
        return made

    def _stored_tools(self) -> set[str]:
        steps = self.stored["r"].steps.values() if "r" in self.stored else []
        values = [json.loads(step) for step in steps if isinstance(step, str) and step[0] == "{"]
        return {value["execution"]["tool_name"] for value in values if "execution" in value}


class Mortal(ScriptedModel):
    """A model that a dead process asks nothing."""

    def __init__(self, process: Process, calls: Counter[str]) -> None:
        super().__init__(_turn)
        self._process = process
        self._calls = calls

    async def respond(
        self,
        request: ModelRequest,
        *,
        on_text: OnText | None = None,
        on_reasoning: OnText | None = None,
    ) -> ModelResponse:
        if self._process.died.is_set():
            raise Died
        self._calls[f"turn {_turns(request)}"] += 1
        return await super().respond(request, on_text=on_text, on_reasoning=on_reasoning)


def _turns(request: ModelRequest) -> int:
    return sum(message.role == "assistant" for message in request.messages)


def _turn(request: ModelRequest) -> CallTools | Say:
    turn = _turns(request)
    if turn == 0:
        return CallTools(*((name, {}) for name in TOOLS[:3]), text=MODEL_SAYS[0])
    if turn == 1:
        return CallTools((TOOLS[3], {}), text=MODEL_SAYS[1])
    return Say(MODEL_SAYS[2])


def _agent(process: Process, calls: Counter[str]) -> Agent:
    def tool(name: str, awaits: int) -> Callable[..., Any]:
        async def work(context: RunContext) -> str:
            for _ in range(awaits):
                await asyncio.sleep(0)
            if process.died.is_set():
                raise Died
            calls[name] += 1
            # In one go: what an interrupted tool had done by halves cannot be told.
            context.session_state["done"] = [*context.session_state.get("done", []), name]
            return f"{name} did it"

        work.__name__ = name
        return work

    # They end neither together nor in the order of their calls.
    tools = [tool(name, awaits) for name, awaits in zip(TOOLS, (9, 0, 4, 1), strict=True)]
    return Agent(id="a", model=Mortal(process, calls), tools=tools, session_state={"done": []})


async def _played(scene: Scene, *deaths: tuple[int, bool], seed: int = 0) -> bool:
    """Work on one run; each process dies at its place. Answers whether all of them did."""
    all_died = True
    for dies_at, stored in [*deaths, (None, False)]:
        process = Process(dies_at=dies_at, stored=stored, seed=seed)
        worker = scene.worker(process)
        if len(scene.workers) == 1:
            await Worker(worker.agent, db=scene.db, stored=scene.stored).enqueue()
        task = await _taken_on(worker)
        if task is not None:
            waiting = asyncio.ensure_future(process.died.wait())
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        died = process.died.is_set()
        await _swept(worker)
        all_died = all_died and (died or dies_at is None)
        if not died:
            if task is not None:
                task.result()
            break
    return all_died


async def _taken_on(worker: Worker) -> asyncio.Task[None] | None:
    """The work of the run, as a process comes to it that takes on what it finds."""
    found = worker.engine.stored.get("r")
    if found is None:
        try:
            record = await row(worker.db)
            if record.status is RunStatus.RUNNING:
                # Taken on, and nothing was begun: the others put it back.
                assert record.executor_id is not None
                await worker.db.work().put_back("r", executor_id=record.executor_id)
            await worker.runs.start(await worker.claim(), "main")
        except Died:
            return worker.engine.tasks.get("r")
        return worker.engine.tasks["r"]
    return None if found.state is WorkflowState.ENDED else await worker.go_on()


async def _swept(worker: Worker) -> None:
    """End what is left of a process; nothing of it can be stored any more."""
    worker.process.died.set()
    for _ in range(3):
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _check(scene: Scene) -> None:
    ended = await output(scene.db)
    run = scene.stored["r"]
    assert ended.status is RunStatus.COMPLETED
    assert run.state is WorkflowState.ENDED
    assert ended.content == MODEL_SAYS[2]
    assert [tool.tool_name for tool in ended.tools] == list(TOOLS)
    # Each tool's change of the state is in it, once.
    assert sorted((ended.session_state or {})["done"]) == sorted(TOOLS)
    for calls, stored_before in zip(scene.calls, scene.stored_before, strict=True):
        assert not stored_before & set(calls), "a finished tool ran again"
        assert max(calls.values(), default=0) <= 1
    _check_events(run.frames, closed=run.closed)
    for worker in scene.workers:
        if (log := worker.logs.get("r")) is not None:
            # Nobody was shown an event that is not stored.
            shown = [frame.decode() for frame in log._frames]
            assert shown == run.frames[: len(shown)]


def _check_events(frames: list[str], *, closed: bool) -> None:
    told = events(frames)
    assert [event["id"] for event in told] == list(range(len(told)))
    assert closed
    kinds = Counter(event["event"] for event in told)
    assert (kinds["RunStarted"], kinds["RunContentCompleted"], kinds["RunCompleted"]) == (1, 1, 1)
    assert told[-1]["event"] == "RunCompleted"
    counted: list[dict[str, Any]] = []
    for event in told:
        first = event.get("supersedes_from_index")
        if first is not None:
            assert any(before["id"] >= first for before in counted), "nothing is superseded"
            counted = [before for before in counted if before["id"] < first]
        counted.append(event)
    text = [event["content"] for event in counted if event["event"] == "RunContent"]
    assert "".join(text) == "".join(MODEL_SAYS)
    finished = {e["tool"]["tool_name"] for e in counted if e["event"] == "ToolCallCompleted"}
    assert finished == set(TOOLS)


async def _writes_of_a_whole_run(seed: int = 0) -> int:
    scene = Scene()
    await _played(scene, seed=seed)
    await _check(scene)
    return scene.workers[0].process.writes


async def test_a_run_whose_process_lives_is_told_and_stored_once() -> None:
    assert await _writes_of_a_whole_run() > 15


@pytest.mark.parametrize("where", ["just before it", "just after it"])
async def test_whichever_write_a_process_dies_at_the_run_ends_as_if_it_had_lived(
    where: str,
) -> None:
    stored = where == "just after it"
    for seed in range(SEEDS):
        for dies_at in range(await _writes_of_a_whole_run(seed)):
            scene = Scene()
            assert await _played(scene, (dies_at, stored), seed=seed)
            await _check(scene)


async def test_whichever_two_writes_two_processes_die_at_the_run_ends_all_the_same() -> None:
    count = await _writes_of_a_whole_run()
    for first in range(count):
        for second in range(first % 3, count, 3):
            scene = Scene()
            await _played(scene, (first, second % 2 == 0), (second, first % 2 == 0))
            await _check(scene)
