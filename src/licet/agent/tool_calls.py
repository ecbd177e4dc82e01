"""The calls of one model turn, run side by side, their results in the order of the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from licet.agent.nesting import MAX_JSON_DEPTH, deeper_than
from licet.agent.output import ToolExecution
from licet.agent.steps import Steps
from licet.agent.telling import Teller
from licet.context import RunContext
from licet.models.message import Message, ToolCall
from licet.tools.function import Function, ToolResult


class ToolBudget:
    """How many calls a run may still make. None: as many as the model asks for."""

    def __init__(self, limit: int | None) -> None:
        self._left = limit

    @property
    def spent(self) -> bool:
        """Whether no further call is allowed."""
        return self._left is not None and self._left <= 0

    def take(self) -> bool:
        """Use one call. False: there was none left."""
        if self.spent:
            return False
        if self._left is not None:
            self._left -= 1
        return True


async def call_tools(
    calls: Sequence[ToolCall],
    *,
    turn: int,
    functions: Mapping[str, Function],
    context: RunContext,
    budget: ToolBudget,
    steps: Steps,
    tell: Teller,
) -> list[ToolExecution]:
    """Run all calls of one turn at the same time. Answers one execution a call, in their order.

    A call that cannot be made (unknown tool, spent budget, bad arguments) has its reason as its
    result: the model reads it, and nothing else fails. ``turn`` counts the run's turns from 0.

    Raises:
        LicetError: what a step raised, which is not the tool's: it could not be kept.
    """
    steps_of_calls = [
        steps.tool(
            partial(
                _call,
                call,
                functions=functions,
                # The same over every attempt: what the model asked for is kept.
                context=replace(context, idempotency_key=f"{context.run_id}-{turn}-{position}"),
                allowed=budget.take(),
                tell=tell,
            )
        )
        for position, call in enumerate(calls)
    ]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_awaited(step)) for step in steps_of_calls]
    except BaseExceptionGroup as failed:
        # The first is why: the others were cancelled for its sake. A run knows it by its kind.
        raise failed.exceptions[0] from failed.exceptions[0].__cause__
    return [task.result() for task in tasks]


async def _awaited(step: Awaitable[ToolExecution]) -> ToolExecution:
    return await step


def result_message(execution: ToolExecution, *, created_at: int) -> Message:
    """The execution as the model reads it."""
    return Message(
        role="tool",
        content=execution.result,
        tool_call_id=execution.tool_call_id,
        tool_name=execution.tool_name,
        tool_call_error=bool(execution.tool_call_error),
        created_at=created_at,
    )


def _started(call: ToolCall, tell: Teller) -> ToolExecution:
    return ToolExecution(
        tool_call_id=call.id,
        tool_name=call.function.name,
        tool_args=_readable(call.function.arguments),
        created_at=int(tell.now()),
    )


async def _call(
    call: ToolCall,
    *,
    functions: Mapping[str, Function],
    context: RunContext,
    allowed: bool,
    tell: Teller,
) -> ToolExecution:
    started, function = _started(call, tell), functions.get(call.function.name)
    if function is not None:
        started = msgspec.structs.replace(
            started, stop_after_tool_call=function.stop_after_tool_call
        )
    tell.tool_started(started)
    begin = tell.now()
    if function is None:
        known = ", ".join(sorted(functions)) or "none"
        result = _refusal(f"There is no tool {call.function.name!r}. There are: {known}.")
    elif not allowed:
        result = _refusal("The limit of tool calls for this run is reached. Answer without tools.")
    else:
        result = await function.call(call.function.arguments, context)
    end = tell.now()
    ended = msgspec.structs.replace(
        started,
        result=result.content,
        tool_call_error=result.error,
        metrics={"start_time": begin, "end_time": end, "duration": end - begin},
    )
    tell.tool_ended(ended)
    return ended


def _refusal(text: str) -> ToolResult:
    return ToolResult(content=text, error=True, duration_seconds=0.0)


def _readable(arguments: str) -> dict[str, Any]:
    """The arguments for people to read; what is executed is the text itself."""
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return {"arguments": arguments}
    if deeper_than(value, MAX_JSON_DEPTH):
        return {"arguments": arguments}
    return value if isinstance(value, dict) else {"arguments": value}
