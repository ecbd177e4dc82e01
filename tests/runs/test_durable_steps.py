from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from licet.agent.output import ToolExecution
from licet.agent.run_row import StateError
from licet.agent.steps import KeptError, ModelTurn, Superseded
from licet.models.base import ModelResponse
from licet.models.message import FunctionCall, ToolCall, Usage
from licet.runs.durable_events import DurableEvents
from licet.runs.durable_steps import DurableSteps
from licet.runs.engine import Batch, DurableEngine, Step
from licet.runs.frames import frame
from licet.runs.log import EventLog
from tests.runs.test_durable_events import STARTED, text
from tests.support.durable import moments

WHOLE = ModelResponse(
    text="all of it",
    reasoning="since",
    tool_calls=(ToolCall("c1", FunctionCall("f", '{"a": 1}')),),
    usage=Usage(1, 2, 3, 4, 5),
    finish_reason="tool_calls",
    refusal="no",
    request_id="q1",
)


class Kept:
    """An engine that keeps steps in a list; a step of which something is kept is not done."""

    def __init__(self, steps: dict[int, str | Exception] | None = None) -> None:
        self.steps = dict(steps or {})
        self.stored: list[Batch] = []
        self.places = 0
        self.may_store = asyncio.Event()
        self.may_store.set()

    def step(self) -> Step:
        self.places += 1
        place = self.places

        async def step(do: Callable[[], Coroutine[Any, Any, str]]) -> str:
            await asyncio.sleep(0)
            if place not in self.steps:
                result = await do()
                await self.may_store.wait()
                self.steps[place] = result
            kept = self.steps[place]
            if isinstance(kept, Exception):
                raise kept
            return kept

        return step

    async def store_events(self, batch: Batch) -> None:
        self.stored.append(batch)


class OpenGate:
    """Lets every step through, and counts those that are under way."""

    def __init__(self) -> None:
        self.under_way = 0
        self.most = 0
        self.open = asyncio.Event()
        self.open.set()

    async def passed(self) -> None:
        await self.open.wait()
        self.under_way += 1
        self.most = max(self.most, self.under_way)

    def ended(self) -> None:
        self.under_way -= 1


class Run:
    """The steps of one run in one process."""

    def __init__(self, engine: Kept | None = None) -> None:
        self.engine = engine or Kept()
        self.state: dict[str, Any] = {}
        self.gate = OpenGate()
        self.events = DurableEvents(cast("DurableEngine", self.engine), EventLog(), frame=frame)
        self.steps = DurableSteps(
            cast("DurableEngine", self.engine),
            self.events,
            gate=self.gate,
            state=lambda: self.state,
        )
        self.called: list[str] = []

    def follow(self) -> Run:
        """The same run in the next process."""
        return Run(Kept(self.engine.steps))

    def tool(
        self, name: str, *, waits_for: asyncio.Event | None = None, **changes: Any
    ) -> Coroutine[Any, Any, ToolExecution]:
        """Call a tool that changes the state."""

        async def call() -> ToolExecution:
            self.called.append(name)
            if waits_for is not None:
                await waits_for.wait()
            self.state.update(changes)
            return execution(name)

        return cast("Coroutine[Any, Any, ToolExecution]", self.steps.tool(call))


def execution(name: str) -> ToolExecution:
    return ToolExecution(
        tool_call_id="c",
        tool_name=name,
        tool_args={"a": [1, None]},
        tool_call_error=False,
        result="so \u00e9",
        metrics={"duration": 0.5},
        stop_after_tool_call=True,
        created_at=7,
    )


async def never(_superseded: Superseded | None) -> ModelTurn:
    raise AssertionError


async def test_what_a_model_said_comes_back_whole_without_asking_it_again() -> None:
    run = Run()

    async def ask(_superseded: Superseded | None) -> ModelTurn:
        return ModelTurn(WHOLE, first_token_seconds=0.25)

    assert await run.steps.model(ask) == ModelTurn(WHOLE, first_token_seconds=0.25)
    assert await run.follow().steps.model(never) == ModelTurn(WHOLE, first_token_seconds=0.25)


async def test_what_a_tool_came_to_comes_back_whole_without_calling_it_again() -> None:
    run = Run()
    assert await run.tool("a", n=1) == execution("a")
    again = run.follow()
    assert await again.tool("a", n=2) == execution("a")
    assert (again.called, again.state) == ([], {"n": 1})


async def test_a_failure_that_was_kept_fails_again() -> None:
    run = Run(Kept({1: KeptError("why", "model_error"), 2: KeptError("so", "session_state")}))
    with pytest.raises(KeptError, match="why"):
        await run.steps.model(never)
    with pytest.raises(KeptError, match="so"):
        await run.tool("a")


async def test_a_model_call_supersedes_from_where_the_step_before_had_ended() -> None:
    run = Run()
    run.events.emit(STARTED)
    superseded: list[Superseded | None] = []

    def telling(count: int) -> Callable[[Superseded | None], Coroutine[Any, Any, ModelTurn]]:
        async def ask(first: Superseded | None) -> ModelTurn:
            superseded.append(first)
            for _ in range(count):
                run.events.emit(text("x"))
            return ModelTurn(WHOLE)

        return ask

    await run.steps.model(telling(2))
    # What an earlier attempt of the next one has told.
    for _ in range(3):
        run.events.emit(text("y"))
    await run.steps.model(telling(1))
    await run.steps.model(telling(1))
    assert superseded == [None, Superseded(3), None]


async def test_a_session_state_is_kept_only_where_a_call_has_changed_it() -> None:
    run = Run()
    await run.tool("a", n=1)
    await run.tool("b")
    await run.tool("c", n=2)
    kept = [json.loads(cast("str", run.engine.steps[place])) for place in (1, 2, 3)]
    assert [each.get("state") for each in kept] == [{"n": 1}, None, {"n": 2}]
    again = run.follow()
    for name in "abc":
        await again.tool(name)
    assert again.state == {"n": 2}


async def test_the_state_that_tools_hold_is_the_same_object_after_it_was_taken_over() -> None:
    run = Run()
    await run.tool("a", n=1)
    again = run.follow()
    held = again.state
    held["old"] = True
    await again.tool("a")
    assert again.state is held
    assert held == {"n": 1}


async def test_calls_beside_each_other_are_kept_in_the_order_in_which_they_ended() -> None:
    run = Run()
    first_may_end = asyncio.Event()
    first, second = run.tool("a", waits_for=first_may_end, a=1), run.tool("b", b=1)
    run.engine.may_store.clear()
    both = asyncio.gather(first, second)
    await moments()
    first_may_end.set()
    await moments()
    # The second has ended and is being stored; the first holds what it changed, and waits for it.
    run.engine.may_store.set()
    await both
    assert list(run.engine.steps) == [2, 1]
    states = {p: json.loads(cast("str", kept))["state"] for p, kept in run.engine.steps.items()}
    assert states == {2: {"b": 1}, 1: {"a": 1, "b": 1}}


async def test_a_call_that_is_repeated_begins_with_what_those_beside_it_had_changed() -> None:
    run = Run()
    await asyncio.gather(run.tool("a", a=1), run.tool("b", b=1), run.tool("c", c=1))
    del run.engine.steps[2]
    again = run.follow()
    seen: list[dict[str, Any]] = []

    async def look() -> ToolExecution:
        seen.append(dict(again.state))
        return execution("b")

    # It comes first, and waits until it is decided which of the others are repeated.
    steps = [again.tool("a"), again.steps.tool(look), again.tool("c")]
    await asyncio.gather(*reversed(steps))
    assert again.called == []
    (state,) = seen
    assert {"a", "c"} <= set(state)


async def test_a_state_that_cannot_be_kept_is_said_by_its_name() -> None:
    run = Run()
    with pytest.raises(StateError):
        await run.tool("a", bad=object())
    assert run.gate.under_way == 0


async def test_calls_beside_each_other_begin_together() -> None:
    run = Run()
    may_end = asyncio.Event()
    calls = asyncio.gather(*(run.tool(name, waits_for=may_end) for name in "abc"))
    await moments()
    assert sorted(run.called) == ["a", "b", "c"]
    assert run.gate.under_way == 3
    may_end.set()
    await calls
    assert run.gate.under_way == 0


async def test_a_step_that_is_kept_waits_at_no_gate_and_any_other_does() -> None:
    run = Run()
    await run.tool("a")
    again = run.follow()
    again.gate.open.clear()
    await again.tool("a")
    waiting = asyncio.ensure_future(again.tool("b"))
    await moments()
    assert (again.called, waiting.done()) == ([], False)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert again.gate.under_way == 0
