"""DurableSteps: model calls and tool calls as steps whose results are stored.

A step that had ended before a crash is not done again: the loop gets what it came to, and the
session's state as it was then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from licet.agent.output import ToolExecution, plain
from licet.agent.run_row import state_json
from licet.agent.steps import AskModel, CallTool, ModelTurn, Superseded
from licet.runs.durable_events import DurableEvents
from licet.runs.engine import DurableEngine, Step


class StepGate(Protocol):
    """Whether a step may begin."""

    async def passed(self) -> None:
        """Wait until it may."""

    def ended(self) -> None:
        """It has ended, and is stored where it can be. Once for each that passed."""


class _KeptTurn(msgspec.Struct, frozen=True):
    turn: ModelTurn
    next_index: int


class _KeptCall(msgspec.Struct, frozen=True):
    """``place``: among the calls of the run, in the order in which they ended.

    ``state`` is the session's after it; None: as the call before it had left it.
    """

    execution: ToolExecution
    next_index: int
    place: int
    state: dict[str, Any] | None = None


class DurableSteps:
    """The steps of one run. Made anew by each process that works on it.

    Args:
        engine: keeps what they come to.
        events: what they tell.
        gate: whether they may begin.
        state: the session's state, which tools change in place.
    """

    def __init__(
        self,
        engine: DurableEngine,
        events: DurableEvents,
        *,
        gate: StepGate,
        state: Callable[[], dict[str, Any]],
    ) -> None:
        self._engine = engine
        self._events = events
        self._gate = gate
        self._state = state
        # RunStarted, or RunContinued, has the first index, and no step.
        self._reached_index = events.first_index + 1
        self._place = 0
        self._place_is_stored = asyncio.Event()
        self._place_is_stored.set()
        self._state_place = 0
        self._known_state: bytes | None = None
        self._undecided: set[Step] = set()
        self._decided = asyncio.Event()

    async def model(self, ask: AskModel) -> ModelTurn:
        """Ask a model, unless its answer is stored."""
        passed = False

        async def do() -> str:
            nonlocal passed
            await self._gate.passed()
            passed = True
            first = self._reached_index
            shown = self._events.next_index > first
            async with self._events.storing():
                turn = await ask(Superseded(first) if shown else None)
            return _encoded(_KeptTurn(turn, self._events.next_index))

        try:
            stored = await self._engine.step()(do)
        finally:
            if passed:
                self._gate.ended()
        kept = msgspec.json.decode(stored, type=_KeptTurn)
        self._reached_index = max(self._reached_index, kept.next_index)
        return kept.turn

    def tool(self, call: CallTool) -> Awaitable[ToolExecution]:
        """Call a tool, unless its result is stored. The step takes its place now."""
        step = self._engine.step()
        self._undecided.add(step)
        return self._tool(step, call)

    async def _tool(self, step: Step, call: CallTool) -> ToolExecution:
        begun = passed = False
        mine = asyncio.Event()

        async def do() -> str:
            nonlocal begun, passed
            begun = True
            self._decide(step)
            # Those beside it that are stored have changed the state before.
            while self._undecided:
                self._decided.clear()
                await self._decided.wait()
            await self._gate.passed()
            passed = True
            async with self._events.storing():
                execution = await call()
                # At once: what another call changes from here on is not this one's.
                self._place, before = self._place + 1, self._place_is_stored
                place, state, self._place_is_stored = self._place, self._changed(), mine
            # This state holds what the calls before have changed: they are not to run again.
            await before.wait()
            return _encoded(_KeptCall(execution, self._events.next_index, place, state))

        try:
            kept = msgspec.json.decode(await step(do), type=_KeptCall)
            if not begun:
                self._take_over(kept)
        finally:
            mine.set()
            self._decide(step)
            if passed:
                self._gate.ended()
        self._reached_index = max(self._reached_index, kept.next_index)
        return kept.execution

    def _decide(self, step: Step) -> None:
        self._undecided.discard(step)
        if not self._undecided:
            self._decided.set()

    def _changed(self) -> dict[str, Any] | None:
        """A copy of the state, if it is another one than the stored one."""
        known, self._known_state = self._known_state, state_json(self._state())
        if known == self._known_state:
            return None
        copy: dict[str, Any] = msgspec.json.decode(self._known_state)
        return copy

    def _take_over(self, kept: _KeptCall) -> None:
        self._place = max(self._place, kept.place)
        if kept.state is not None and kept.place > self._state_place:
            self._state_place = kept.place
            state = self._state()
            state.clear()
            state.update(kept.state)
            self._known_state = state_json(state)


def _encoded(kept: _KeptTurn | _KeptCall) -> str:
    return msgspec.json.encode(kept, enc_hook=plain).decode()
