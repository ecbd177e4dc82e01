from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from licet.agent import Agent
from licet.agent.output import RunInput, ToolExecution
from licet.agent.run import AgentRun
from licet.agent.run_request import RunRequest
from licet.agent.steps import AskModel, CallTool, KeptError, ModelTurn, PlainSteps, Superseded
from licet.context import RunContext
from licet.db.records import RunStatus
from licet.models.base import ModelResponse
from licet.models.message import Usage
from licet.testing import CallTools, ScriptedModel


def asked() -> RunRequest:
    return RunRequest(input=RunInput("hi"), run_id="r", session_id="s")


def ping(word: str) -> str:
    return f"pong {word}"


def pinging(*calls: str) -> Agent:
    turn = CallTools(*(("ping", {"word": word}) for word in calls))
    return Agent(id="a", model=ScriptedModel([turn, "done"]), tools=[ping])


class WatchedSteps(PlainSteps):
    """Writes down which steps are asked for, and which tool calls begin."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.begun: list[str] = []

    async def model(self, ask: AskModel) -> ModelTurn:
        self.asked.append("model")
        return await super().model(ask)

    def tool(self, call: CallTool) -> Awaitable[ToolExecution]:
        place = f"tool {self.asked.count('tool')}"
        self.asked.append("tool")

        async def begin() -> ToolExecution:
            self.begun.append(place)
            return await call()

        return begin()


async def test_a_run_asks_for_its_steps_in_one_order_and_plain_ones_do_them() -> None:
    steps = WatchedSteps()
    run = AgentRun(pinging("a", "b"), asked())
    await run.begin()
    output = await run.finish(steps)
    assert steps.asked == ["model", "tool", "tool", "model"]
    assert steps.begun == ["tool 0", "tool 1"]
    assert [tool.result for tool in output.tools] == ["pong a", "pong b"]


class FailingSteps(PlainSteps):
    """The step of the first tool call fails by itself; the others hang until they are cancelled."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.cancelled = 0
        self._first = True

    def tool(self, call: CallTool) -> Awaitable[ToolExecution]:  # noqa: ARG002 - none is made
        first, self._first = self._first, False
        return self._fail() if first else self._hang()

    async def _fail(self) -> ToolExecution:
        raise self.error

    async def _hang(self) -> ToolExecution:
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled += 1
        raise AssertionError


async def test_what_is_kept_of_a_failed_step_ends_the_run_with_the_code_that_it_had() -> None:
    steps = FailingSteps(KeptError("the state holds a set", "session_state"))
    run = AgentRun(pinging("a", "b"), asked())
    await run.begin()
    output = await run.finish(steps)
    assert (output.status, output.error_type) == (RunStatus.ERROR, "session_state")
    assert output.content == "the state holds a set"
    assert steps.cancelled == 1


class Gone(BaseException):
    """As the engine says that somebody else goes on with the run."""


async def test_what_is_no_error_passes_through_a_run_and_ends_nothing() -> None:
    run = AgentRun(pinging("a", "b"), asked())
    await run.begin()
    with pytest.raises(Gone):
        await run.finish(FailingSteps(Gone()))
    assert run.output.status is RunStatus.RUNNING


async def test_a_kept_model_turn_is_what_the_run_goes_on_with() -> None:
    class Kept(PlainSteps):
        async def model(self, ask: AskModel) -> ModelTurn:  # noqa: ARG002 - it is kept
            response = ModelResponse(text="as kept", usage=Usage(3, 4, 7), reasoning="so")
            return ModelTurn(response, first_token_seconds=0.5)

    model = ScriptedModel([])
    run = AgentRun(Agent(id="a", model=model), asked())
    await run.begin()
    output = await run.finish(Kept())
    assert (output.content, output.reasoning_content) == ("as kept", "so")
    assert output.metrics is not None
    assert (output.metrics.total_tokens, output.metrics.time_to_first_token) == (7, 0.5)
    assert model.requests == []


async def test_a_repeated_model_call_says_what_it_supersedes() -> None:
    class Repeated(PlainSteps):
        async def model(self, ask: AskModel) -> ModelTurn:
            return await ask(Superseded(7))

    told: list[object] = []
    run = AgentRun(Agent(id="a", model=ScriptedModel(["x"])), asked(), emit=told.append)
    await run.begin()
    await run.finish(Repeated())
    assert [getattr(event, "supersedes_from_index", None) for event in told][:2] == [None, 7]


async def test_each_tool_call_has_a_key_of_its_own_that_every_attempt_gives_it() -> None:
    keys: list[str | None] = []

    def pay(context: RunContext) -> str:
        keys.append(context.idempotency_key)
        return "paid"

    for _ in range(2):
        model = ScriptedModel([CallTools(("pay", {}), ("pay", {})), CallTools(("pay", {})), "ok"])
        run = AgentRun(Agent(id="a", model=model, tools=[pay]), asked())
        await run.begin()
        await run.finish()
    assert sorted(map(str, keys[:3])) == ["r-0-0", "r-0-1", "r-1-0"]
    assert sorted(map(str, keys[3:])) == sorted(map(str, keys[:3]))
