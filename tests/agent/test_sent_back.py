"""Whole records of calls that people send back with what they decide, where ids are used again."""

from __future__ import annotations

from typing import Any

import pytest

from licet.agent import Decision, RunOutput
from licet.agent.decisions import DecidedError, decided
from licet.agent.output import RunInput, ToolExecution, UserField
from licet.db.records import RunStatus
from licet.models.message import FunctionCall, Message, ToolCall

ID = "call_1"


def tool(**said: Any) -> ToolExecution:
    """A call of that one id."""
    base: dict[str, Any] = {
        "tool_call_id": ID,
        "tool_name": "pay",
        "tool_args": {"amount": 2},
        "created_at": 1,
    }
    return ToolExecution(**{**base, **said})


def run(*tools: ToolExecution) -> RunOutput:
    """A run that waits with the last of these."""
    call = ToolCall(id=ID, function=FunctionCall(name="pay", arguments='{"amount":2}'))
    return RunOutput(
        run_id="r",
        session_id="s",
        agent_id="a",
        agent_name="A",
        status=RunStatus.PAUSED,
        created_at=1,
        input=RunInput("hi"),
        messages=(Message(role="assistant", tool_calls=(call,)),),
        tools=tools,
    )


WAITS = tool(requires_confirmation=True)
MADE = tool(requires_confirmation=True, confirmed=True, result="paid 1")
REJECTED = tool(requires_confirmation=True, confirmed=False, result="not made")
ANSWERED = tool(
    requires_user_input=True,
    answered=True,
    user_input_schema=(UserField(name="to", field_type="string", value="bob"),),
    result="mailed",
)
BROUGHT = tool(external_execution_required=True, result="ran")
PLAIN = tool(result="looked")
SENT_BACK = [
    (MADE, {"confirmed": True, "result": "paid 1"}),
    (REJECTED, {"confirmed": False, "result": "not made"}),
    (ANSWERED, {"values": {"to": "bob"}, "result": "mailed"}),
    (BROUGHT, {"result": "ran"}),
    (PLAIN, {"result": "looked"}),
]


@pytest.mark.parametrize(("earlier", "said"), SENT_BACK)
def test_the_record_of_an_earlier_call_decides_nothing_about_a_later_one_of_its_id(
    earlier: ToolExecution, said: dict[str, Any]
) -> None:
    paused = run(earlier, WAITS)
    back = Decision(tool_call_id=ID, **said)
    assert decided(paused, [back], {}) == paused
    no = Decision(tool_call_id=ID, confirmed=False)
    for decisions in ([back, no], [no, back]):
        assert decided(paused, decisions, {}).tools[-1].confirmed is False


@pytest.mark.parametrize(
    "said", [{"confirmed": True}, {"confirmed": False}, {"confirmed": True, "result": "paid 9"}]
)
def test_what_differs_from_the_record_is_a_decision(said: dict[str, Any]) -> None:
    with pytest.raises(DecidedError):
        decided(run(MADE), [Decision(tool_call_id=ID, **said)], {})


def test_a_result_and_a_no_are_a_no() -> None:
    waits = run(tool(external_execution_required=True))
    (call,) = decided(waits, [Decision(tool_call_id=ID, confirmed=False, result="ran")], {}).tools
    assert (call.confirmed, call.result) == (False, "The call was rejected, and not made.")
