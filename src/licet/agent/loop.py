"""The loop: model ⇄ tools until the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from licet.agent.output import ToolExecution
from licet.agent.output_schema import OutputSchema
from licet.agent.steps import PLAIN_STEPS, ModelTurn, Steps, Superseded
from licet.agent.telling import Teller
from licet.agent.tool_calls import ToolBudget, call_tools, result_message
from licet.context import RunContext
from licet.errors import LicetError, ModelError, OutputSchemaError
from licet.models.base import Model, ModelRequest, ModelResponse, ToolSchema
from licet.models.message import Message, Usage
from licet.tools.function import Function
from licet.tools.thread import run_in_thread

MAX_TURNS = 100
"""Model calls in one run: the end of a conversation that a model has with itself."""

_RETRY_DELAY_SECONDS = 1.0


class TooManyTurnsError(LicetError):
    """The model went on calling tools without ever answering."""

    code = "too_many_turns"


async def always() -> None:
    """Whoever asks may go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the loop works on; nothing in it changes while it works.

    ``check`` is awaited before tools are called, and raises where the run may not go on.
    """

    model: Model
    functions: Mapping[str, Function]
    schemas: Sequence[ToolSchema]
    context: RunContext
    output_schema: OutputSchema | None = None
    tool_call_limit: int | None = None
    retries: int = 0
    steps: Steps = PLAIN_STEPS
    check: Callable[[], Awaitable[None]] = always


@dataclass(slots=True)
class Progress:
    """What the loop has reached. It outlives a failure: what was done is recorded all the same.

    ``messages`` is the whole context of the next model call; ``pieces`` is what the turn that is
    being streamed has said so far.
    """

    messages: list[Message]
    tools: list[ToolExecution] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    text: str = ""
    pieces: list[str] = field(default_factory=list)
    reasoning: str = ""
    first_token_seconds: float | None = None


async def run_loop(task: Task, progress: Progress, tell: Teller) -> Any:
    """Ask the model, run the tools it calls, ask again; answer what it finally says.

    The answer is text, or a value of ``task.output_schema``.

    Raises:
        ModelError: the provider failed.
        OutputSchemaError: the answer does not fit, also after ``retries`` corrections.
        TooManyTurnsError: no answer after ``MAX_TURNS`` model calls.
    """
    budget = ToolBudget(task.tool_call_limit)
    corrections_left = task.retries
    for turn in range(MAX_TURNS):
        response = await _ask(task, progress, tell, tools_allowed=not budget.spent)
        progress.messages.append(_answer_message(response, created_at=int(tell.now())))
        if response.tool_calls:
            await task.check()
            done = await call_tools(
                response.tool_calls,
                turn=turn,
                functions=task.functions,
                context=task.context,
                budget=budget,
                steps=task.steps,
                tell=tell,
            )
            progress.tools.extend(done)
            progress.messages.extend(result_message(x, created_at=int(tell.now())) for x in done)
            stopping = [x for x in done if x.stop_after_tool_call and not x.tool_call_error]
            if stopping:
                progress.text = "\n".join(x.result or "" for x in stopping)
                return progress.text
            continue
        progress.text = response.refusal or response.text
        if task.output_schema is None or response.refusal:
            return progress.text
        try:
            # A client's schema may take a second to follow: other runs go on meanwhile.
            return await run_in_thread(partial(task.output_schema.read, response.text))
        except OutputSchemaError as error:
            if corrections_left == 0:
                raise
            corrections_left -= 1
            progress.messages.append(
                Message(role="user", content=str(error), created_at=int(tell.now()))
            )
    raise TooManyTurnsError(f"no answer after {MAX_TURNS} model calls; set a tool_call_limit")


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
        response = await _respond(task, request, progress, tell)
        shown_at = tell.first_text_at
        first_token_seconds = (
            shown_at - begin if shown_at is not None and shown_at >= begin else None
        )
        tell.model_answered(response.usage, first_token_seconds=first_token_seconds)
        return ModelTurn(response, first_token_seconds)

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
            progress.pieces.clear()

            def on_text(piece: str) -> None:
                progress.pieces.append(piece)
                tell.text(piece)

            return await task.model.respond(request, on_text=on_text, on_reasoning=tell.reasoning)
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
