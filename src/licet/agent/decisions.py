"""Decisions: what people say of the calls that a paused run waits with.

A decision names a call by its id, and says nothing else of it: the tool, its arguments and what it
waits for are what was stored when the run paused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from licet.agent.output import RunOutput, ToolExecution, UserField
from licet.db.approval_records import ApprovalRecord
from licet.errors import ConflictError, InvalidInputError, ToolArgumentsError
from licet.models.message import ToolCall
from licet.tools.function import Function
from licet.tools.requirement import Wait
from licet.tools.text import bounded

REJECTED = "The call was rejected, and not made."
"""The result of a call that was rejected, as the model reads it."""


class DecidedError(ConflictError):
    """The call waits no more: it was decided, or made."""

    code = "already_decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the owner of a run says of one call. None: nothing is said of it.

    ``values`` are the user's, by name; ``result`` is that of a call that was made elsewhere.
    """

    tool_call_id: str
    confirmed: bool | None = None
    note: str | None = None
    values: Mapping[str, Any] | None = None
    result: str | None = None


def open_calls(run: RunOutput) -> tuple[ToolCall, ...]:
    """The calls of the turn at which a run paused, as the model wrote them."""
    return run.messages[-1].tool_calls if run.messages else ()


def undecided(run: RunOutput) -> tuple[ToolExecution, ...]:
    """The calls that a paused run waits with still."""
    return tuple(tool for tool in run.tools if tool.undecided)


def decided(
    run: RunOutput, decisions: Sequence[Decision], functions: Mapping[str, Function]
) -> RunOutput:
    """A paused run with what its owner decided. ``functions`` are its agent's.

    Raises:
        DecidedError: a call waits no more, or two decisions are about one.
        InvalidInputError: there is no such call, or it does not wait for this.
    """
    tools = list(run.tools)
    # A provider may use an id again in a later turn: what counts is the call that waits.
    waiting = {tool.tool_call_id: at for at, tool in enumerate(tools) if tool.undecided}
    known = {tool.tool_call_id for tool in tools}
    for place, decision in enumerate(decisions):
        field = f"tools[{place}]"
        if decision.tool_call_id not in known:
            raise InvalidInputError(f"{field}.tool_call_id", "the id of a call of this run")
        calls = [tool for tool in run.tools if tool.tool_call_id == decision.tool_call_id]
        if any(_is_sent_back(tool, decision) for tool in calls):
            # With the others. It must not count for a later call that has its id.
            continue
        at = waiting.pop(decision.tool_call_id, None)
        if at is None:
            if all(tool.waits_for is None for tool in calls):
                # Nobody was ever to decide about it.
                continue
            raise DecidedError(f"The call {decision.tool_call_id!r} is decided already")
        tools[at] = _decided(tools[at], decision, run, functions, field)
    return msgspec.structs.replace(run, tools=tuple(tools))


def approved(run: RunOutput, approvals: Sequence[ApprovalRecord]) -> RunOutput:
    """A paused run with what was decided by others than its owner.

    A decision counts for the very call that it was asked for: its tool, and its arguments.
    """
    decided = {each.id: each for each in approvals if each.resolution is not None}
    arguments = {call.id: call.function.arguments for call in open_calls(run)}

    def with_decision(tool: ToolExecution) -> ToolExecution:
        approval = None if tool.approval_id is None else decided.get(tool.approval_id)
        if approval is None or not tool.undecided or approval.resolution is None:
            return tool
        asked = (approval.run_id, approval.tool_call_id, approval.tool_name, approval.arguments)
        if asked != (run.run_id, tool.tool_call_id, tool.tool_name, arguments[tool.tool_call_id]):
            return tool
        note = (approval.resolution.data or {}).get("note")
        said = note if isinstance(note, str) else None
        return (confirmed if approval.resolution.approved else rejected)(tool, said)

    return msgspec.structs.replace(run, tools=tuple(with_decision(tool) for tool in run.tools))


def rejected(tool: ToolExecution, note: str | None) -> ToolExecution:
    """A call that is not made."""
    told = f"{REJECTED} Note: {note}" if note else REJECTED
    return msgspec.structs.replace(tool, confirmed=False, confirmation_note=note, result=told)


def confirmed(tool: ToolExecution, note: str | None) -> ToolExecution:
    """A call that may be made."""
    return msgspec.structs.replace(tool, confirmed=True, confirmation_note=note)


def arguments_of(call: ToolCall, tool: ToolExecution) -> str:
    """The arguments with which a decided call is made: the model's text, and the user's values.

    Raises:
        ToolArgumentsError: the text is nothing that values can be put into.
    """
    fields = tool.user_input_schema
    if not fields:
        return call.function.arguments
    return _with_values(call.function.arguments, {field.name: field.value for field in fields})


def arguments_object(arguments: str) -> Mapping[str, Any]:
    """The model's text as the object into which a user's values are put.

    Raises:
        ToolArgumentsError: it is none.
    """
    try:
        return msgspec.json.decode(arguments or "{}", type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        raise ToolArgumentsError("Wrong arguments: expected one JSON object") from None


def user_fields(function: Function) -> tuple[UserField, ...] | None:
    """What a call of a tool asks its user for; None: nothing."""
    fields = tuple(
        UserField(
            name=name,
            field_type=str(schema.get("type", "any")),
            description=schema.get("description"),
        )
        for name, schema in function.user_fields.items()
    )
    return fields or None


def _is_sent_back(tool: ToolExecution, decision: Decision) -> bool:
    """Whether somebody says of a call just what its record says since it was decided, and done."""
    values = {
        field.name: field.value for field in tool.user_input_schema or () if field.value is not None
    }
    recorded = (tool.confirmed, tool.result, values or None)
    said = (decision.confirmed, decision.result, decision.values)
    return tool.result is not None and said == recorded


def _decided(
    tool: ToolExecution,
    decision: Decision,
    run: RunOutput,
    functions: Mapping[str, Function],
    field: str,
) -> ToolExecution:
    match tool.waits_for:
        case Wait.APPROVAL:
            raise InvalidInputError(field, "nothing: the call waits for an approval, not for you")
        case Wait.USER_INPUT if decision.values is not None and decision.confirmed is not False:
            return _answered(tool, decision.values, run, functions, field)
        case Wait.EXTERNAL_EXECUTION if (
            decision.result is not None and decision.confirmed is not False
        ):
            function = functions.get(tool.tool_name)
            limit = len(decision.result) if function is None else function.max_result_chars
            result = bounded(decision.result, max_chars=limit)
            return msgspec.structs.replace(tool, result=result)
        case _ if decision.confirmed is False:
            return rejected(tool, decision.note)
        case Wait.CONFIRMATION if decision.confirmed:
            return confirmed(tool, decision.note)
    wanted = {
        Wait.CONFIRMATION: "confirmed: true or false",
        Wait.USER_INPUT: "user_input_schema with a value for each field, or confirmed: false",
        Wait.EXTERNAL_EXECUTION: "result: a text, or confirmed: false",
    }
    raise InvalidInputError(field, wanted[tool.waits_for or Wait.CONFIRMATION])


def _answered(
    tool: ToolExecution,
    values: Mapping[str, Any],
    run: RunOutput,
    functions: Mapping[str, Function],
    field: str,
) -> ToolExecution:
    fields = tool.user_input_schema or ()
    names = [each.name for each in fields]
    if unknown := [name for name in values if name not in names]:
        raise InvalidInputError(f"{field}.user_input_schema", f"only {names}, not {unknown}")
    if missing := [name for name in names if name not in values]:
        raise InvalidInputError(f"{field}.user_input_schema", f"a value for {missing}")
    filled = tuple(msgspec.structs.replace(each, value=values[each.name]) for each in fields)
    answered = msgspec.structs.replace(tool, user_input_schema=filled, answered=True)
    function = functions.get(tool.tool_name)
    call = next((c for c in open_calls(run) if c.id == tool.tool_call_id), None)
    if function is not None and call is not None:
        try:
            function.parse_arguments(arguments_of(call, answered))
        except ToolArgumentsError as error:
            raise InvalidInputError(f"{field}.user_input_schema", str(error)) from None
    return answered


def _with_values(arguments: str, values: Mapping[str, Any]) -> str:
    # Never the text as it is: the model's own values may stand in their place.
    return msgspec.json.encode({**arguments_object(arguments), **values}).decode()
