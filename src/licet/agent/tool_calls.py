"""The calls of one model turn, run side by side, their results in the order of the calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from licet.agent.decisions import arguments_object, arguments_of, user_fields
from licet.agent.nesting import MAX_JSON_DEPTH, deeper_than
from licet.agent.observer import UNOBSERVED, RunObserver
from licet.agent.output import ToolExecution
from licet.agent.steps import Steps
from licet.agent.telling import Teller
from licet.context import RunContext
from licet.errors import ToolArgumentsError
from licet.models.message import Message, ToolCall
from licet.tools.function import Function, ToolResult
from licet.tools.requirement import Wait


class ToolBudget:
    """How many calls a run may still make. None: as many as the model asks for.

    ``used`` are those that it has made, or waits with.
    """

    def __init__(self, limit: int | None, *, used: int = 0) -> None:
        self._left = None if limit is None else limit - used

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
    decided: Sequence[ToolExecution],
    turn: int,
    functions: Mapping[str, Function],
    context: RunContext,
    budget: ToolBudget,
    steps: Steps,
    tell: Teller,
    observer: RunObserver = UNOBSERVED,
) -> list[ToolExecution]:
    """Run all calls of one turn at the same time. Answers one execution a call, in their order.

    A call that cannot be made (unknown tool, spent budget, bad arguments) has its reason as its
    result: the model reads it, and nothing else fails. A call that people decide about is not made:
    its execution is ``undecided``. ``turn`` counts the run's turns from 0. ``decided`` is what came
    of each call, where the run paused at this turn; else it is empty.

    Raises:
        LicetError: what a step raised, which is not the tool's: it could not be kept.
    """
    known: Sequence[ToolExecution | None] = decided or [None] * len(calls)
    ids = Counter(call.id for call in calls)
    plans: list[ToolExecution | Awaitable[ToolExecution]] = []
    for position, (call, before) in enumerate(zip(calls, known, strict=True)):
        function = functions.get(call.function.name)
        # It was counted when it was asked for.
        allowed = before is not None or budget.take()
        if before is not None and (before.undecided or before.result is not None):
            plans.append(before)
            continue
        if before is None and function is not None and allowed and ids[call.id] == 1:
            waiting = _waiting(call, function, tell)
            if waiting is not None:
                plans.append(waiting)
                continue
        making = partial(
            _call,
            call,
            before=before,
            functions=functions,
            # The same over every attempt: what the model asked for is kept.
            context=replace(context, idempotency_key=f"{context.run_id}-{turn}-{position}"),
            allowed=allowed,
            tell=tell,
            observer=observer,
        )
        plans.append(steps.tool(making))
    return await _all(plans)


async def _all(
    plans: Sequence[ToolExecution | Awaitable[ToolExecution]],
) -> list[ToolExecution]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {
                place: group.create_task(_awaited(plan))
                for place, plan in enumerate(plans)
                if not isinstance(plan, ToolExecution)
            }
    except BaseExceptionGroup as failed:
        # The first is why: the others were cancelled for its sake. A run knows it by its kind.
        raise failed.exceptions[0] from failed.exceptions[0].__cause__
    return [
        plan if isinstance(plan, ToolExecution) else tasks[place].result()
        for place, plan in enumerate(plans)
    ]


def _waiting(call: ToolCall, function: Function, tell: Teller) -> ToolExecution | None:
    """The execution of a call that people decide about; None: nobody needs to be asked."""
    if function.requirement is None:
        return None
    wait, fields = function.requirement.wait, user_fields(function)
    try:
        _check_arguments(call, function)
    except ToolArgumentsError:
        # The model is told what is wrong with it: nobody has to look at what cannot be made.
        return None
    return msgspec.structs.replace(
        _started(call, tell),
        stop_after_tool_call=function.stop_after_tool_call,
        requires_confirmation=wait in {Wait.CONFIRMATION, Wait.APPROVAL} or None,
        requires_user_input=wait is Wait.USER_INPUT or None,
        user_input_schema=fields,
        external_execution_required=wait is Wait.EXTERNAL_EXECUTION or None,
        approval_type="required" if wait is Wait.APPROVAL else None,
    )


def _check_arguments(call: ToolCall, function: Function) -> None:
    """Look at the arguments of a call that people decide about, as far as they are known.

    Raises:
        ToolArgumentsError: it cannot be made with them, whatever people decide.
    """
    if user_fields(function) is None:
        function.parse_arguments(call.function.arguments)
    else:
        arguments_object(call.function.arguments)


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
    before: ToolExecution | None,
    functions: Mapping[str, Function],
    context: RunContext,
    allowed: bool,
    tell: Teller,
    observer: RunObserver,
) -> ToolExecution:
    started, function = before or _started(call, tell), functions.get(call.function.name)
    if function is not None:
        started = msgspec.structs.replace(
            started, stop_after_tool_call=function.stop_after_tool_call
        )
    tell.tool_started(started)
    begin = tell.now()
    result = await _result(
        call,
        before=before,
        functions=functions,
        context=context,
        allowed=allowed,
        observer=observer,
    )
    end = tell.now()
    ended = msgspec.structs.replace(
        started,
        result=result.content,
        tool_call_error=result.error,
        metrics={"start_time": begin, "end_time": end, "duration": end - begin},
    )
    tell.tool_ended(ended)
    return ended


async def _result(
    call: ToolCall,
    *,
    before: ToolExecution | None,
    functions: Mapping[str, Function],
    context: RunContext,
    allowed: bool,
    observer: RunObserver,
) -> ToolResult:
    function = functions.get(call.function.name)
    if function is None:
        known = ", ".join(sorted(functions)) or "none"
        return _refusal(f"There is no tool {call.function.name!r}. There are: {known}.")
    if not allowed:
        return _refusal("The limit of tool calls for this run is reached. Answer without tools.")
    try:
        if before is not None and _may_be_made(function, before):
            return await _made(function, arguments_of(call, before), context, call.id, observer)
        if function.requirement is None:
            return await _made(function, call.function.arguments, context, call.id, observer)
        _check_arguments(call, function)
    except ToolArgumentsError as error:
        return _refusal(str(error))
    return _refusal("The call was not made: nobody has decided about it. Ask for it anew.")


async def _made(
    function: Function, arguments: str, context: RunContext, call_id: str, observer: RunObserver
) -> ToolResult:
    with observer.tool_call(function.name, call_id=call_id) as observed:
        result = await function.call(arguments, context)
        observed.came_to(result)
    return result


def _may_be_made(function: Function, decided: ToolExecution) -> bool:
    """Whether what was decided is what the tool asks for, as it is now."""
    if function.requirement is None:
        return True
    wait = function.requirement.wait
    if wait is not decided.waits_for or wait is Wait.EXTERNAL_EXECUTION:
        return False
    return bool(decided.answered if wait is Wait.USER_INPUT else decided.confirmed)


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
