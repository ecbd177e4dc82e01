from __future__ import annotations

import pytest

from licet.agent import Agent
from licet.agent.events import (
    AgentEvent,
    RunCancelled,
    RunCompleted,
    RunError,
    RunPaused,
    ToolCallCompleted,
    ToolCallError,
    ToolCallStarted,
)
from licet.agent.output import RunOutput, ToolExecution
from licet.db.records import RunStatus
from licet.runs.replay import replay
from licet.testing import CallTools, Fail, ScriptedModel
from licet.testing.scripted import Turn
from tests.runs.stored import output, tool


def names(events: list[AgentEvent]) -> list[str]:
    return [event.event for event in events]


def test_a_completed_run_is_its_tools_and_the_whole_answer() -> None:
    run = output(RunStatus.COMPLETED, content="done", tools=(tool("one"), tool("two", error=True)))
    events = replay(run)
    assert names(events) == [
        "RunStarted",
        "ToolCallStarted",
        "ToolCallCompleted",
        "ToolCallStarted",
        "ToolCallCompleted",
        "ToolCallError",
        "RunContentCompleted",
        "RunCompleted",
    ]
    started, completed, failed, last = events[1], events[2], events[5], events[-1]
    assert isinstance(started, ToolCallStarted)
    assert (started.tool.result, started.tool.tool_call_error) == (None, None)
    assert isinstance(completed, ToolCallCompleted)
    assert (completed.tool.result, completed.content) == ("42", "one completed in 0.250 s.")
    assert isinstance(failed, ToolCallError)
    assert failed.error == "42"
    assert isinstance(last, RunCompleted)
    assert (last.content, last.metrics.total_tokens, last.session_state) == ("done", 5, {})


def test_times_are_those_of_the_run() -> None:
    events = replay(output(RunStatus.COMPLETED, content="done", tools=(tool("one"),)))
    assert [event.created_at for event in events] == [10, 12, 12, 13, 13]


def test_a_failed_run_says_why() -> None:
    *_, last = replay(output(RunStatus.ERROR, content="away", error_type="model_unavailable"))
    assert isinstance(last, RunError)
    assert (last.content, last.error_type) == ("away", "model_unavailable")


def test_a_cancelled_run_says_what_it_had_reached_and_why() -> None:
    run = output(RunStatus.CANCELLED, content="one", cancellation_reason="cancelled by olga")
    events = replay(run)
    assert names(events) == ["RunStarted", "RunCancelled"]
    last = events[-1]
    assert isinstance(last, RunCancelled)
    assert (last.content, last.reason) == ("one", "cancelled by olga")


def test_a_run_that_has_not_ended_has_no_end() -> None:
    assert names(replay(output(RunStatus.RUNNING))) == ["RunStarted"]


def test_a_run_that_waits_for_people_says_with_which_calls() -> None:
    waiting = ToolExecution(
        tool_call_id="c", tool_name="pay", tool_args={}, created_at=1, requires_confirmation=True
    )
    events = replay(output(RunStatus.PAUSED, tools=(waiting,)))
    assert names(events) == ["RunStarted", "RunContentCompleted", "RunPaused"]
    last = events[-1]
    assert isinstance(last, RunPaused)
    assert [tool.tool_call_id for tool in last.tools] == ["c"]
    assert [each.id for each in last.requirements] == ["c"]


def test_a_run_that_waits_has_not_begun() -> None:
    assert replay(output(RunStatus.PENDING)) == []


def test_what_was_never_measured_is_nothing() -> None:
    *_, last = replay(output(RunStatus.COMPLETED, content="done", metrics=None))
    assert isinstance(last, RunCompleted)
    assert (last.metrics.total_tokens, last.created_at) == (0, 10)


@pytest.mark.parametrize(
    "turns",
    [["one two"], [CallTools(("double", {"n": 1})), "done"], [Fail(RuntimeError("no"))]],
)
async def test_it_is_what_was_told_without_the_models_own(turns: list[Turn | str]) -> None:
    def double(n: int) -> int:
        """Double a number."""
        return 2 * n

    agent = Agent(id="a", model=ScriptedModel([*turns, *turns]), tools=[double])
    told = [event async for event in agent.arun("hi", stream=True)]
    run = await agent.arun("hi")
    assert names(replay(RunOutput.from_json(run.to_json()))) == [
        event.event
        for event in told
        if event.event not in {"ModelRequestStarted", "ModelRequestCompleted", "RunContent"}
    ]
