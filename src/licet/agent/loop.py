"""The loop: model ⇄ tools until the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from licet.agent.observer import UNOBSERVED, RunObserver
from licet.agent.output import Metrics, RunOutput, ToolExecution
from licet.agent.output_schema import OutputSchema
from licet.agent.steps import PLAIN_STEPS, ModelTurn, Steps, Superseded
from licet.agent.telling import Teller
from licet.agent.tool_calls import ToolBudget, call_tools, result_message
from licet.context import RunContext
from licet.errors import LicetError, ModelError, OutputSchemaError
from licet.models.base import Model, ModelRequest, ModelResponse, ToolSchema
from licet.models.growing_text import GrowingText, ToldText
from licet.models.message import Message, ToolCall, Usage
from licet.tools.function import Function
from licet.tools.thread import run_in_thread

MAX_TURNS = 100
"""Model calls in one run: the end of a conversation that a model has with itself."""

_RETRY_DELAY_SECONDS = 1.0


class TooManyTurnsError(LicetError):
    """The model went on calling tools without ever answering."""

    code = "too_many_turns"


async def always(_tools: Sequence[str]) -> None:
    """Whoever asks may go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the loop works on; nothing in it changes while it works.

    ``check`` is awaited with the names of tools before they are called, and raises where the run
    may not go on.
    """

    model: Model
    functions: Mapping[str, Function]
    schemas: Sequence[ToolSchema]
    context: RunContext
    output_schema: OutputSchema | None = None
    tool_call_limit: int | None = None
    retries: int = 0
    steps: Steps = PLAIN_STEPS
    check: Callable[[Sequence[str]], Awaitable[None]] = always
    observer: RunObserver = UNOBSERVED


@dataclass(slots=True)
class Progress:
    """What the loop has reached. It outlives a failure: what was done is recorded all the same.

    ``messages`` is the whole context of the next model call; ``shown`` is what the turn that is
    being streamed has said so far. ``turns`` counts those that are behind; of one at which the run
    paused, ``open_calls`` are what the model asked for, and ``decided`` what came of each.
    """

    messages: list[Message]
    tools: list[ToolExecution] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    text: str = ""
    shown: GrowingText = field(default_factory=GrowingText)
    reasoning: str = ""
    first_token_seconds: float | None = None
    turns: int = 0
    open_calls: tuple[ToolCall, ...] = ()
    decided: tuple[ToolExecution, ...] = ()

    def resume(self, paused: RunOutput, *, before: Sequence[Message]) -> None:
        """Stand where a run paused. ``before``: the system's message, and the history."""
        metrics, calls = paused.metrics or Metrics(), paused.messages[-1].tool_calls
        earlier = len(paused.tools) - len(calls)
        self.messages.extend((*before, *paused.messages))
        self.tools.extend(paused.tools[:earlier])
        self.usage = metrics.usage
        self.reasoning = paused.reasoning_content or ""
        self.first_token_seconds = metrics.time_to_first_token
        self.turns = sum(message.role == "assistant" for message in paused.messages) - 1
        self.open_calls, self.decided = calls, paused.tools[earlier:]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run has come to: text, or a value of its ``output_schema``."""

    content: Any


async def run_loop(task: Task, progress: Progress, tell: Teller) -> Answer | None:
    """Ask the model, run the tools it calls, ask again; answer what it finally says.

    None: calls wait to be decided by people; they are among ``progress.tools``.

    Raises:
        ModelError: the provider failed.
        OutputSchemaError: the answer does not fit, also after ``retries`` corrections.
        TooManyTurnsError: no answer after ``MAX_TURNS`` model calls.
    """
    budget = ToolBudget(task.tool_call_limit, used=len(progress.tools) + len(progress.decided))
    corrections_left = task.retries
    while progress.turns < MAX_TURNS:
        if not progress.open_calls:
            response = await _ask(task, progress, tell, tools_allowed=not budget.spent)
            progress.messages.append(_answer_message(response, created_at=int(tell.now())))
            progress.open_calls = response.tool_calls
        if progress.open_calls:
            done = await _use_tools(task, progress, budget, tell)
            if done is None:
                return None
            stopping = [each for each in done if _stops(each)]
            if stopping:
                progress.text = "\n".join(each.result or "" for each in stopping)
                return Answer(progress.text)
            continue
        progress.turns += 1
        progress.text = response.refusal or response.text
        if task.output_schema is None or response.refusal:
            return Answer(progress.text)
        try:
            # A client's schema may take a second to follow: other runs go on meanwhile.
            read = partial(task.output_schema.read, response.text)
            return Answer(await run_in_thread(read))
        except OutputSchemaError as error:
            if corrections_left == 0:
                raise
            corrections_left -= 1
            progress.messages.append(
                Message(role="user", content=str(error), created_at=int(tell.now()))
            )
    raise TooManyTurnsError(f"no answer after {MAX_TURNS} model calls; set a tool_call_limit")


async def _use_tools(
    task: Task, progress: Progress, budget: ToolBudget, tell: Teller
) -> Sequence[ToolExecution] | None:
    """Run the calls of a turn. None: some of them wait to be decided."""
    await task.check([call.function.name for call in progress.open_calls])
    done = await call_tools(
        progress.open_calls,
        decided=progress.decided,
        turn=progress.turns,
        functions=task.functions,
        context=task.context,
        budget=budget,
        steps=task.steps,
        tell=tell,
        observer=task.observer,
    )
    progress.tools.extend(done)
    progress.decided = ()
    if any(each.undecided for each in done):
        return None
    progress.messages.extend(result_message(x, created_at=int(tell.now())) for x in done)
    progress.turns += 1
    progress.open_calls = ()
    return done


def _stops(execution: ToolExecution) -> bool:
    """Whether what a call came to is the answer of the run."""
    made = execution.confirmed is not False and not execution.tool_call_error
    return execution.stop_after_tool_call and made


async def _ask(
    task: Task, progress: Progress, tell: Teller, *, tools_allowed: bool
) -> ModelResponse:
    request = ModelRequest(
        messages=progress.messages,
        tools=task.schemas,
        tool_choice="auto" if tools_allowed else "none",
        output_format=task.output_schema.format if task.output_schema else None,
    )

    async def ask(superseded: Superseded | None) -> ModelTurn:
        begin = tell.now()
        tell.model_asked(superseded)
        with task.observer.model_call(task.model, streamed=tell.listening) as observed:
            response = await _respond(task, request, progress, tell)
            shown_at = tell.first_text_at
            first_token_seconds = (
                shown_at - begin if shown_at is not None and shown_at >= begin else None
            )
            turn = ModelTurn(response, first_token_seconds)
            observed.came_to(turn)
        tell.model_answered(response.usage, first_token_seconds=first_token_seconds)
        return turn

    turn = await task.steps.model(ask)
    if progress.first_token_seconds is None:
        progress.first_token_seconds = turn.first_token_seconds
    progress.usage = progress.usage + turn.response.usage
    progress.reasoning += turn.response.reasoning
    return turn.response


async def _respond(
    task: Task, request: ModelRequest, progress: Progress, tell: Teller
) -> ModelResponse:
    """One turn, tried again after a failure that may pass, as long as nothing of it was shown."""
    failures = 0
    while True:
        shown_before = tell.shown_chars
        try:
            if not tell.listening:
                return await task.model.respond(request)
            progress.shown = shown = ToldText(tell.text)
            return await task.model.respond(request, on_text=shown, on_reasoning=tell.reasoning)
        except ModelError as error:
            if not error.retryable or failures >= task.retries or tell.shown_chars > shown_before:
                raise
            failures += 1
            await asyncio.sleep(_RETRY_DELAY_SECONDS * 2 ** (failures - 1))


def _answer_message(response: ModelResponse, *, created_at: int) -> Message:
    return Message(
        role="assistant",
        content=response.refusal or response.text or None,
        tool_calls=response.tool_calls,
        reasoning_content=response.reasoning or None,
        created_at=created_at,
    )
