"""The values of a user stand in the place of a model's, however that wrote its own."""

from __future__ import annotations

from typing import Any

import pytest

from licet.agent import Agent, Decision
from licet.agent.decisions import arguments_of
from licet.agent.output import ToolExecution, UserField
from licet.db.records import RunStatus
from licet.errors import ToolArgumentsError
from licet.models.message import FunctionCall, ToolCall
from licet.testing import CallTools, ScriptedModel
from licet.tools import tool


class Post:
    """Mails that were sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any]] = []

    def agent(self, arguments: str) -> Agent:
        @tool(requires_user_input=True, user_input_fields=["to"])
        def mail(subject: str, to: str, weight: Any = None) -> str:
            """Write to somebody."""
            self.sent.append((subject, to, weight))
            return "sent"

        return Agent(
            id="a", model=ScriptedModel([CallTools(("mail", arguments)), "done"]), tools=[mail]
        )


@pytest.mark.parametrize(
    "arguments",
    [
        '{"subject": "hi", "to": "eve"}',
        '{"to": "eve", "subject": "hi", "to": "eve"}',
        '{"subject": "hi", "\\u0074o": "eve"}',
        ' \n{"subject": "hi", "to": "eve"}\t ',
    ],
)
async def test_no_model_writes_over_them(arguments: str) -> None:
    post = Post()
    agent = post.agent(arguments)
    run = await agent.arun("hi")
    decision = Decision(tool_call_id=run.tools[0].tool_call_id, values={"to": "bob"})
    done = await agent.acontinue_run(run, [decision])
    assert (done.status, post.sent) == (RunStatus.COMPLETED, [("hi", "bob", None)])


@pytest.mark.parametrize(
    "arguments",
    [
        '\u00a0{"subject": "hi", "to": "eve"}',
        '{"subject": "hi", "to": "eve", "weight": NaN}',
        '{"subject": "hi", "to": "eve", "weight": 1e999}',
        '{"subject": "hi", "to": "eve", "weight": -Infinity}',
        '["hi", "eve"]',
        "{",
    ],
)
async def test_a_call_into_which_they_cannot_be_put_waits_for_nobody_and_is_not_made(
    arguments: str,
) -> None:
    post = Post()
    done = await post.agent(arguments).arun("hi")
    assert (done.status, done.content, post.sent) == (RunStatus.COMPLETED, "done", [])
    assert (done.tools[0].result or "").startswith("Wrong arguments")


@pytest.mark.parametrize("arguments", ["[]", "NaN", "\u00a0{}", '{"a": 1e999}'])
def test_they_are_put_into_an_object_or_nowhere(arguments: str) -> None:
    call = ToolCall(id="c", function=FunctionCall(name="mail", arguments=arguments))
    waited = ToolExecution(
        tool_call_id="c",
        tool_name="mail",
        tool_args={},
        created_at=1,
        user_input_schema=(UserField(name="to", field_type="string", value="bob"),),
    )
    with pytest.raises(ToolArgumentsError):
        arguments_of(call, waited)
