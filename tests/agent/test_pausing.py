"""Runs that wait for people: what is decided is done, and nothing that was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from licet.agent import Agent, Decision, RunOutput
from licet.agent.decisions import REJECTED, DecidedError
from licet.agent.resuming import NotPausedError
from licet.context import RunContext
from licet.db.approval_records import Resolution
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunStatus
from licet.errors import InvalidInputError
from licet.testing import CallTools, Say, ScriptedModel
from licet.tools import Function, tool


@dataclass
class Bank:
    """Tools that wait, and what they did."""

    done: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def tools(self, **pay: Any) -> list[Function]:
        @tool(requires_confirmation=True, **pay)
        def transfer(amount: int, context: RunContext) -> str:
            """Send money."""
            self.keys.append(context.idempotency_key)
            return self.note(f"sent {amount}")

        @tool(requires_user_input=True, user_input_fields=["to"])
        def mail(subject: str, to: str) -> str:
            """Write to somebody."""
            return self.note(f"wrote {subject} to {to}")

        @tool(external_execution=True, max_result_chars=20)
        def shell(command: str) -> str:
            """Run a command."""
            return self.note(f"ran {command}")

        @tool(approval="admin")
        def refund(amount: int) -> str:
            """Give money back."""
            return self.note(f"gave {amount} back")

        @tool
        def look() -> str:
            """Look."""
            return self.note("looked")

        return [transfer, mail, shell, refund, look]

    def note(self, what: str) -> str:
        self.done.append(what)
        return what

    def agent(self, *turns: Any, db: InMemoryDb | None = None, **given: Any) -> Agent:
        model = ScriptedModel([*turns, Say("all done")], when_exhausted="repeat_last")
        return Agent(id="a", model=model, tools=self.tools(), db=db, **given)


PAY = CallTools(("transfer", {"amount": 3}))


def yes(run: RunOutput, *places: int) -> list[Decision]:
    calls = [run.tools[place] for place in places or range(len(run.tools))]
    return [Decision(tool_call_id=call.tool_call_id, confirmed=True) for call in calls]


def asked_for(agent: Agent, request: int = -1) -> Sequence[tuple[str, str | None]]:
    """What the model read of tools, as (id of the call, result)."""
    assert isinstance(agent.model, ScriptedModel)
    messages = agent.model.requests[request].messages
    return [(m.tool_call_id or "", m.content) for m in messages if m.role == "tool"]


async def test_nothing_is_done_before_it_is_confirmed_and_it_is_done_once_after() -> None:
    bank = Bank()
    agent = bank.agent(PAY)
    run = await agent.arun("pay")
    assert (run.status, bank.done) == (RunStatus.PAUSED, [])
    assert [(t.tool_name, t.tool_args, t.undecided) for t in run.tools] == [
        ("transfer", {"amount": 3}, True)
    ]
    ended = await agent.acontinue_run(run, yes(run))
    assert (ended.status, ended.content) == (RunStatus.COMPLETED, "all done")
    assert bank.done == ["sent 3"]
    assert asked_for(agent) == [("call_0_0", "sent 3")]
    assert bank.keys == [f"{run.run_id}-0-0"]


async def test_a_call_that_is_rejected_is_not_made_and_the_model_is_told_why() -> None:
    bank = Bank()
    agent = bank.agent(PAY)
    run = await agent.arun("pay")
    no = Decision(tool_call_id="call_0_0", confirmed=False, note="too much")
    ended = await agent.acontinue_run(run, [no])
    assert bank.done == []
    assert asked_for(agent) == [("call_0_0", f"{REJECTED} Note: too much")]
    assert (ended.tools[0].confirmed, ended.tools[0].metrics) == (False, None)


async def test_a_rejected_call_does_not_end_the_run_as_its_result_would_have() -> None:
    bank = Bank()
    model = ScriptedModel([PAY, "so be it"])
    tools = bank.tools(stop_after_tool_call=True)
    agent = Agent(id="a", model=model, tools=tools)
    run = await agent.arun("pay")
    ended = await agent.acontinue_run(run, [Decision(tool_call_id="call_0_0", confirmed=False)])
    assert ended.content == "so be it"
    again = Agent(id="a", model=ScriptedModel([PAY]), tools=bank.tools(stop_after_tool_call=True))
    run = await again.arun("pay")
    assert (await again.acontinue_run(run, yes(run))).content == "sent 3"


async def test_what_needs_no_decision_is_done_at_once_and_only_once() -> None:
    bank = Bank()
    agent = bank.agent(CallTools(("look", {}), ("transfer", {"amount": 1}), ("look", {})))
    run = await agent.arun("pay")
    assert bank.done == ["looked", "looked"]
    ended = await agent.acontinue_run(run, yes(run, 1))
    assert bank.done == ["looked", "looked", "sent 1"]
    assert [text for _, text in asked_for(agent)] == ["looked", "sent 1", "looked"]
    assert [t.tool_name for t in ended.tools] == ["look", "transfer", "look"]


async def test_the_user_gives_what_no_model_may_give() -> None:
    bank = Bank()
    forged = CallTools(("mail", {"subject": "hello", "to": "mallory"}))
    agent = bank.agent(forged)
    assert "to" not in agent.functions["mail"].parameters["properties"]
    run = await agent.arun("mail")
    fields = run.tools[0].user_input_schema
    assert fields is not None
    assert [(f.name, f.field_type, f.value) for f in fields] == [("to", "string", None)]
    given = Decision(tool_call_id="call_0_0", values={"to": "bob"})
    await agent.acontinue_run(run, [given])
    assert bank.done == ["wrote hello to bob"]


@pytest.mark.parametrize(
    "values", [{}, {"to": 3}, {"to": "bob", "subject": "another"}, {"else": "bob"}]
)
async def test_values_that_do_not_fit_decide_nothing(values: dict[str, Any]) -> None:
    bank = Bank()
    agent = bank.agent(CallTools(("mail", {"subject": "hello"})))
    run = await agent.arun("mail")
    with pytest.raises(InvalidInputError, match="user_input_schema"):
        await agent.acontinue_run(run, [Decision(tool_call_id="call_0_0", values=values)])
    assert bank.done == []


async def test_what_is_executed_elsewhere_is_never_executed_here() -> None:
    bank = Bank()
    agent = bank.agent(CallTools(("shell", {"command": "ls"})))
    run = await agent.arun("list")
    await agent.acontinue_run(run, [Decision(tool_call_id="call_0_0", result="x" * 1000)])
    assert bank.done == []
    (_, result), *_ = asked_for(agent)
    assert result is not None
    assert result.startswith("xxx")
    assert len(result) < 200


async def test_a_result_is_taken_for_calls_that_are_made_elsewhere_alone() -> None:
    bank = Bank()
    agent = bank.agent(PAY)
    run = await agent.arun("pay")
    with pytest.raises(InvalidInputError, match="confirmed"):
        await agent.acontinue_run(run, [Decision(tool_call_id="call_0_0", result="sent 1000")])
    confirmed = Decision(tool_call_id="call_0_0", confirmed=True, result="sent 1000")
    await agent.acontinue_run(run, [confirmed])
    assert bank.done == ["sent 3"]


async def test_the_owner_cannot_approve_what_others_are_to_approve() -> None:
    bank, db = Bank(), InMemoryDb()
    agent = bank.agent(CallTools(("refund", {"amount": 7})), db=db)
    run = await agent.arun("refund")
    answers: list[dict[str, Any]] = [
        {"confirmed": True},
        {"confirmed": False},
        {"result": "x"},
        {"values": {}},
    ]
    for said in answers:
        with pytest.raises(InvalidInputError, match="approval"):
            await agent.acontinue_run(run, [Decision(tool_call_id="call_0_0", **said)])
    with pytest.raises(NotPausedError):
        await agent.acontinue_run(run)
    (approval,) = await db.approvals().of_run(run.run_id)
    assert approval.arguments == '{"amount":7}'
    resolution = Resolution(approved=True, by="ada", by_owner=None, at_us=1)
    assert await db.approvals().resolve(approval.id, resolution)
    assert (await agent.acontinue_run(run)).status is RunStatus.COMPLETED
    assert bank.done == ["gave 7 back"]


async def test_of_several_calls_all_have_to_be_decided() -> None:
    bank = Bank()
    agent = bank.agent(CallTools(("transfer", {"amount": 1}), ("transfer", {"amount": 2})))
    run = await agent.arun("pay twice")
    with pytest.raises(NotPausedError):
        await agent.acontinue_run(run, yes(run, 0))
    assert bank.done == []
    await agent.acontinue_run(run, yes(run))
    assert sorted(bank.done) == ["sent 1", "sent 2"]


@pytest.mark.parametrize("call_id", ["", "call_9_9", "c" * 1000])
async def test_a_call_that_there_is_not_cannot_be_decided(call_id: str) -> None:
    agent = Bank().agent(PAY)
    run = await agent.arun("pay")
    with pytest.raises(InvalidInputError, match="tool_call_id"):
        await agent.acontinue_run(run, [Decision(tool_call_id=call_id, confirmed=True)])


async def test_a_call_is_decided_once() -> None:
    bank = Bank()
    agent = bank.agent(PAY)
    run = await agent.arun("pay")
    with pytest.raises(DecidedError):
        await agent.acontinue_run(run, [*yes(run), *yes(run)])
    assert bank.done == []


async def test_a_stored_run_goes_on_once() -> None:
    bank = Bank()
    agent = bank.agent(PAY, db=InMemoryDb())
    run = await agent.arun("pay")
    await agent.acontinue_run(run, yes(run))
    with pytest.raises(NotPausedError):
        await agent.acontinue_run(run, yes(run))
    assert bank.done == ["sent 3"]


async def test_a_stored_run_does_not_go_on_again_from_an_earlier_pause() -> None:
    bank = Bank()
    agent = bank.agent(PAY, CallTools(("transfer", {"amount": 4})), db=InMemoryDb())
    first = await agent.arun("pay")
    second = await agent.acontinue_run(first, yes(first))
    assert (second.status, bank.done) == (RunStatus.PAUSED, ["sent 3"])
    with pytest.raises(NotPausedError):
        await agent.acontinue_run(first, yes(first))
    assert bank.done == ["sent 3"]
    ended = await agent.acontinue_run(second, yes(second, 1))
    assert (ended.status, bank.done) == (RunStatus.COMPLETED, ["sent 3", "sent 4"])


async def test_arguments_that_do_not_fit_trouble_nobody() -> None:
    bank = Bank()
    agent = bank.agent(CallTools(("transfer", {"amount": "much"})), PAY)
    run = await agent.arun("pay")
    assert run.status is RunStatus.PAUSED
    assert [t.undecided for t in run.tools] == [False, True]
    assert "Wrong arguments" in str(run.tools[0].result)


async def test_two_calls_of_one_id_are_both_not_made() -> None:
    bank = Bank()
    agent = bank.agent(CallTools(("transfer", {"amount": 1}), ("transfer", {"amount": 2})))
    assert isinstance(agent.model, ScriptedModel)
    respond = agent.model.respond

    async def with_one_id(*args: Any, **given: Any) -> Any:
        import msgspec

        answer = await respond(*args, **given)
        calls = tuple(msgspec.structs.replace(call, id="same") for call in answer.tool_calls)
        return msgspec.structs.replace(answer, tool_calls=calls)

    agent.model.respond = with_one_id  # type: ignore[method-assign]  # a provider that repeats ids
    run = await agent.arun("pay")
    assert (run.status, bank.done) == (RunStatus.COMPLETED, [])
    assert all("nobody has decided" in str(t.result) for t in run.tools)


async def test_an_id_that_is_used_again_in_a_later_turn_means_the_call_that_waits() -> None:
    bank = Bank()
    agent = bank.agent(PAY, CallTools(("transfer", {"amount": 4})))
    first = await agent.arun("pay")
    second = await agent.acontinue_run(first, yes(first))
    assert second.status is RunStatus.PAUSED
    assert bank.done == ["sent 3"]
    late = Decision(tool_call_id=first.tools[0].tool_call_id, confirmed=True)
    if first.tools[0].tool_call_id != second.tools[1].tool_call_id:
        with pytest.raises(DecidedError):
            await agent.acontinue_run(second, [late])
    ended = await agent.acontinue_run(second, yes(second, 1))
    assert (ended.status, bank.done) == (RunStatus.COMPLETED, ["sent 3", "sent 4"])
    assert ended.leg == 2


async def test_calls_that_wait_count_toward_the_limit() -> None:
    bank = Bank()
    agent = bank.agent(PAY, CallTools(("look", {})), tool_call_limit=1)
    run = await agent.arun("pay")
    ended = await agent.acontinue_run(run, yes(run))
    assert bank.done == ["sent 3"]
    assert "limit of tool calls" in str(ended.tools[1].result)


async def test_a_tool_that_is_gone_or_asks_for_something_else_by_now_is_not_called() -> None:
    bank = Bank()
    run = await bank.agent(PAY).arun("pay")
    without = Agent(id="a", model=ScriptedModel(["done"]), tools=[])
    assert "no tool" in str((await without.acontinue_run(run, yes(run))).tools[0].result)

    @tool(approval="admin")
    def transfer(amount: int) -> str:
        return bank.note(f"sent {amount}")

    stricter = Agent(id="a", model=ScriptedModel(["done"]), tools=[transfer])
    ended = await stricter.acontinue_run(run, yes(run))
    assert "nobody has decided" in str(ended.tools[0].result)
    assert bank.done == []


async def test_a_run_that_goes_on_counts_what_it_had_used() -> None:
    from licet.models.message import Usage

    bank = Bank()
    used = Usage(input_tokens=5, output_tokens=1, total_tokens=6)
    agent = Agent(
        id="a",
        model=ScriptedModel(
            [CallTools(("transfer", {"amount": 3}), usage=used), Say("done", usage=used)]
        ),
        tools=bank.tools(),
    )
    run = await agent.arun("pay")
    ended = await agent.acontinue_run(run, yes(run))
    assert ended.metrics is not None
    assert ended.metrics.total_tokens == 12
    assert ended.messages[0].content == "pay"
    assert [m.role for m in ended.messages] == ["user", "assistant", "tool", "assistant"]


async def test_what_a_paused_run_tells_is_what_it_waits_with() -> None:
    bank = Bank()
    agent = bank.agent(CallTools(("look", {}), ("transfer", {"amount": 1})))
    events = [event async for event in agent.arun("pay", stream=True)]
    assert [event.event for event in events][-2:] == ["RunContentCompleted", "RunPaused"]
    last: Any = events[-1]
    assert [tool.tool_name for tool in last.tools] == ["transfer"]


def test_programs_without_a_loop_go_on_too() -> None:
    bank = Bank()
    agent = bank.agent(PAY)
    run = agent.run("pay")
    assert agent.continue_run(run, yes(run)).content == "all done"
