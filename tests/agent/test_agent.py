from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from licet.agent import Agent, RunOutput
from licet.agent.events import AgentEvent, RunCompleted, RunContent
from licet.context import RunContext
from licet.db.base import NOBODY, Access
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunQuery, RunStatus, SessionKey
from licet.errors import ConfigurationError, InvalidInputError, ModelUnavailableError
from licet.models.message import Image, Message, TextFile
from licet.testing.scripted import CallTools, Fail, Say, ScriptedModel
from licet.tools import Toolkit


def agent(script: Any, **given: Any) -> Agent:
    return Agent(id="a", model=ScriptedModel(script), **given)


def seen_by(some: Agent, request: int = 0) -> list[tuple[str, str | None]]:
    """What the model was sent, as (role, content)."""
    assert isinstance(some.model, ScriptedModel)
    return [(m.role, m.content) for m in some.model.requests[request].messages]


async def events_of(some: Agent, text: str = "hi", **given: Any) -> list[AgentEvent]:
    return [event async for event in some.arun(text, stream=True, **given)]


def names(events: list[AgentEvent]) -> list[str]:
    return [event.event for event in events]


class TestSettings:
    def test_the_id_is_made_from_the_name(self) -> None:
        some = Agent(name="Research Agent (2)", model=ScriptedModel([]))
        assert (some.id, some.name) == ("research-agent-2", "Research Agent (2)")

    def test_the_name_is_the_id_where_none_is_given(self) -> None:
        assert agent([]).name == "a"

    @pytest.mark.parametrize("bad", ["a:b", "a*", "a/b", "a b", "ä", "x" * 129, "a\n"])
    def test_ids_that_scopes_could_misread_are_refused(self, bad: str) -> None:
        with pytest.raises(ConfigurationError, match="allowed"):
            Agent(id=bad, model=ScriptedModel([]))

    def test_an_agent_needs_an_id_or_a_name(self) -> None:
        with pytest.raises(ConfigurationError, match="id or a name"):
            Agent(model=ScriptedModel([]))

    def test_a_model_is_needed(self) -> None:
        with pytest.raises(ConfigurationError, match="needs a Model"):
            Agent(id="a", model="gpt-4o")  # type: ignore[arg-type]  # the mistake under test

    @pytest.mark.parametrize("setting", ["num_history_runs", "retries", "tool_call_limit"])
    def test_negative_counts_are_refused(self, setting: str) -> None:
        with pytest.raises(ConfigurationError, match=setting):
            agent([], **{setting: -1})

    def test_a_state_that_cannot_be_stored_is_refused_at_once(self) -> None:
        with pytest.raises(ConfigurationError, match="belongs into dependencies"):
            agent([], session_state={"connection": object()})

    def test_settings_cannot_be_changed_afterwards(self) -> None:
        with pytest.raises(AttributeError):
            agent([]).name = "b"  # type: ignore[misc]  # the mistake under test


class TestSystemMessage:
    async def test_it_says_who_what_and_how(self) -> None:
        kit = Toolkit("kit", instructions="Use the kit with care.")
        some = agent(
            ["ok"],
            description="You are Ada.",
            instructions=["Be brief.", "Be kind."],
            tools=[kit],
            markdown=True,
        )
        await some.arun("hi")
        role, content = seen_by(some)[0]
        assert role == "system"
        assert content == (
            "You are Ada.\n\n- Be brief.\n- Be kind.\n\nUse the kit with care.\n\n"
            "Format your answers with Markdown."
        )

    async def test_an_agent_that_says_nothing_has_none(self) -> None:
        some = agent(["ok"])
        await some.arun("hi")
        assert seen_by(some) == [("user", "hi")]

    async def test_system_message_replaces_everything(self) -> None:
        some = agent(["ok"], system_message="Only this.", description="x", markdown=True)
        await some.arun("hi")
        assert seen_by(some)[0] == ("system", "Only this.")

    async def test_the_time_is_told_where_asked_for(self) -> None:
        some = agent(["ok"], add_datetime_to_context=True)
        await some.arun("hi")
        content = seen_by(some)[0][1]
        assert content is not None
        assert content.startswith("The current time is 20")
        assert content.endswith("+00:00.")


class TestRun:
    async def test_it_answers(self) -> None:
        output = await agent(["Hello!"]).arun("hi")
        assert output.status is RunStatus.COMPLETED
        assert output.content == "Hello!"
        assert output.session_id != output.run_id
        assert [m.role for m in output.messages] == ["user", "assistant"]

    def test_it_answers_without_an_event_loop(self) -> None:
        assert agent(["Hello!"]).run("hi").content == "Hello!"

    async def test_it_answers_blocking_where_a_loop_runs(self) -> None:
        assert agent(["Hello!"]).run("hi").content == "Hello!"

    async def test_events_come_in_the_order_of_the_interface(self) -> None:
        events = await events_of(agent(["Hello you there"]))
        assert names(events) == [
            "RunStarted",
            "ModelRequestStarted",
            "RunContent",
            "RunContent",
            "RunContent",
            "ModelRequestCompleted",
            "RunContentCompleted",
            "RunCompleted",
        ]
        deltas = [e.content for e in events if isinstance(e, RunContent)]
        assert "".join(deltas) == "Hello you there"
        last = events[-1]
        assert isinstance(last, RunCompleted)
        assert last.content == "Hello you there"

    def test_events_come_without_an_event_loop(self) -> None:
        events = list(agent(["Hello"]).run("hi", stream=True))
        assert names(events)[-1] == "RunCompleted"

    async def test_leaving_the_blocking_stream_early_cancels_the_run(self) -> None:
        never = asyncio.Event()
        some = agent([Say("Hello you", hold=never, hold_after=1)])
        stream = some.run("hi", stream=True)
        assert next(stream).event == "RunStarted"
        stream.close()  # type: ignore[attr-defined]  # a generator

    async def test_a_failing_model_is_an_output_that_says_why(self) -> None:
        error = ModelUnavailableError("the provider is away", provider="x", status=503)
        output = await agent([Fail(error)]).arun("hi")
        assert output.status is RunStatus.ERROR
        assert output.content == "the provider is away"
        assert output.error_type == "model_unavailable"

    async def test_a_failing_stream_ends_with_run_error_alone(self) -> None:
        error = ModelUnavailableError("away", provider="x")
        events = await events_of(agent([Fail(error, text="partly")]))
        assert names(events) == ["RunStarted", "ModelRequestStarted", "RunContent", "RunError"]

    async def test_an_unforeseen_exception_does_not_tell_its_text(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        output = await agent([Fail(RuntimeError("password=hunter2"))]).arun("hi")
        assert output.content == "Internal error (RuntimeError)"
        assert output.error_type == "internal_error"
        assert "hunter2" in caplog.text

    async def test_a_refusal_is_the_answer(self) -> None:
        output = await agent([Say("", refusal="I will not.")]).arun("hi")
        assert output.content == "I will not."
        assert output.status is RunStatus.COMPLETED

    async def test_retries_ask_again_after_a_failure_that_may_pass(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("licet.agent.loop._RETRY_DELAY_SECONDS", 0.0)
        error = ModelUnavailableError("away", provider="x", retryable=True)
        some = agent([Fail(error), Fail(error), "Here"], retries=2)
        assert (await some.arun("hi")).content == "Here"

    async def test_what_was_shown_is_not_shown_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("licet.agent.loop._RETRY_DELAY_SECONDS", 0.0)
        error = ModelUnavailableError("away", provider="x", retryable=True)
        events = await events_of(agent([Fail(error, text="partly"), "Here"], retries=2))
        assert names(events)[-1] == "RunError"

    async def test_images_and_text_files_reach_the_model(self) -> None:
        some = agent(["ok"])
        image, file = Image(mime_type="image/png", data="AAAA"), TextFile("a.txt", "text")
        output = await some.arun("look", images=[image], files=[file])
        assert isinstance(some.model, ScriptedModel)
        (message,) = some.model.requests[0].messages
        assert (message.images, message.files) == ((image,), (file,))
        assert RunOutput.from_json(output.to_json()).input.images == (image,)

    async def test_metadata_of_agent_and_run_are_kept(self) -> None:
        output = await agent(["ok"], metadata={"a": 1, "b": 1}).arun("hi", metadata={"b": 2})
        assert output.metadata == {"a": 1, "b": 2}


class TestHistory:
    async def test_the_last_runs_of_the_session_are_told(self) -> None:
        some = agent(
            ["one", "two", "three"],
            db=InMemoryDb(),
            add_history_to_context=True,
            num_history_runs=1,
            system_message="S",
        )
        for text in ("first", "second", "third"):
            await some.arun(text, session_id="s")
        assert seen_by(some, 2) == [
            ("system", "S"),
            ("user", "second"),
            ("assistant", "two"),
            ("user", "third"),
        ]

    async def test_failed_runs_and_other_sessions_are_not_told(self) -> None:
        error = ModelUnavailableError("away", provider="x")
        some = agent([Fail(error), "elsewhere", "ok"], db=InMemoryDb(), add_history_to_context=True)
        await some.arun("failing", session_id="s")
        await some.arun("other", session_id="other")
        await some.arun("hi", session_id="s")
        assert seen_by(some, 2) == [("user", "hi")]

    async def test_history_is_off_by_default(self) -> None:
        some = agent(["one", "two"], db=InMemoryDb())
        await some.arun("first", session_id="s")
        await some.arun("second", session_id="s")
        assert seen_by(some, 1) == [("user", "second")]

    async def test_a_run_stores_its_own_messages_only(self) -> None:
        some = agent(["one", "two"], db=InMemoryDb(), add_history_to_context=True)
        await some.arun("first", session_id="s")
        output = await some.arun("second", session_id="s")
        assert [m.content for m in output.messages] == ["second", "two"]

    async def test_tool_calls_are_part_of_history(self) -> None:
        def echo(text: str) -> str:
            return text

        some = agent(
            [CallTools(("echo", {"text": "x"})), "done", "again"],
            tools=[echo],
            db=InMemoryDb(),
            add_history_to_context=True,
        )
        await some.arun("first", session_id="s")
        await some.arun("second", session_id="s")
        roles = [role for role, _ in seen_by(some, 2)]
        assert roles == ["user", "assistant", "tool", "assistant", "user"]


class TestStorage:
    async def stored(self, db: InMemoryDb, session_id: str) -> list[RunOutput]:
        runs = await db.store(Access(NOBODY)).list_runs(SessionKey(NOBODY, session_id), RunQuery())
        return [RunOutput.from_json(run.body) for run in runs]

    async def test_the_question_is_stored_before_the_model_is_asked(self) -> None:
        gate, db = asyncio.Event(), InMemoryDb()
        model = ScriptedModel(["ok"], hold=gate)
        some = Agent(id="a", model=model, db=db)
        task = asyncio.ensure_future(some.arun("precious", session_id="s"))
        await model.wait_for_requests(1)
        (run,) = await self.stored(db, "s")
        assert (run.status, run.input.input_content) == (RunStatus.RUNNING, "precious")
        assert [m.content for m in run.messages] == ["precious"]
        gate.set()
        await task
        (run,) = await self.stored(db, "s")
        assert (run.status, run.content) == (RunStatus.COMPLETED, "ok")

    async def test_a_failed_run_is_a_row_that_says_why(self) -> None:
        db = InMemoryDb()
        some = agent([Fail(ModelUnavailableError("away", provider="x"))], db=db)
        await some.arun("hi", session_id="s")
        (run,) = await self.stored(db, "s")
        assert (run.status, run.content) == (RunStatus.ERROR, "away")

    async def test_a_cancelled_run_is_a_row_with_what_was_said(self) -> None:
        db, never = InMemoryDb(), asyncio.Event()
        some = agent([Say("one two three", hold=never, hold_after=2)], db=db)
        stream = some.arun("hi", stream=True, session_id="s")
        async for event in stream:
            if isinstance(event, RunContent) and event.content == " two":
                break
        await stream.aclose()  # type: ignore[attr-defined]  # a generator
        (run,) = await self.stored(db, "s")
        assert (run.status, run.content) == (RunStatus.CANCELLED, "one two")


class TestSessionState:
    async def test_what_a_tool_changes_is_there_in_the_next_run(self) -> None:
        def count(context: RunContext) -> str:
            context.session_state["count"] += 1
            return str(context.session_state["count"])

        some = agent(
            [CallTools(("count", {})), "a", CallTools(("count", {})), "b"],
            tools=[count],
            session_state={"count": 0},
            db=InMemoryDb(),
        )
        await some.arun("x", session_id="s")
        output = await some.arun("y", session_id="s")
        assert output.session_state == {"count": 2}
        assert [t.result for t in output.tools] == ["2"]

    async def test_the_first_values_are_not_shared_between_sessions(self) -> None:
        def add(context: RunContext) -> str:
            context.session_state["items"].append("x")
            return "added"

        some = agent(
            [CallTools(("add", {})), "a", CallTools(("add", {})), "b"],
            tools=[add],
            session_state={"items": []},
            db=InMemoryDb(),
        )
        await some.arun("x", session_id="one")
        output = await some.arun("y", session_id="two")
        assert output.session_state == {"items": ["x"]}
        assert some.session_state["items"] == []

    async def test_dependencies_reach_tools_and_callables_are_called_for_each_run(self) -> None:
        made: list[int] = []

        async def connection() -> int:
            made.append(len(made))
            return made[-1]

        found: list[Any] = []

        def look(context: RunContext) -> str:
            found.append(dict(context.dependencies))
            return "ok"

        some = agent(
            [CallTools(("look", {})), "a", CallTools(("look", {})), "b"],
            tools=[look],
            dependencies={"plain": 1, "made": connection, "given": None},
        )
        await some.arun("x")
        await some.arun("y", dependencies={"given": 7})
        assert found == [
            {"plain": 1, "made": 0, "given": None},
            {"plain": 1, "made": 1, "given": 7},
        ]


class City(BaseModel):
    name: str
    people: int


class TestOutputSchema:
    async def test_a_pydantic_model_is_the_content(self) -> None:
        some = agent(['{"name": "Rome", "people": 3}'], output_schema=City)
        output = await some.arun("hi")
        assert output.content == City(name="Rome", people=3)
        assert output.content_type == "City"
        again = RunOutput.from_json(output.to_json())
        assert again.content == {"name": "Rome", "people": 3}
        assert isinstance(some.model, ScriptedModel)
        output_format = some.model.requests[0].output_format
        assert output_format is not None
        assert output_format.name == "City"

    async def test_a_misfit_is_told_to_the_model_as_often_as_retries_says(self) -> None:
        some = agent(
            ['{"name": "Rome"}', '{"name": "Rome", "people": 1}'], output_schema=City, retries=1
        )
        output = await some.arun("hi")
        assert output.content == City(name="Rome", people=1)
        assert "people" in (seen_by(some, 1)[-1][1] or "")

    async def test_a_misfit_without_retries_is_an_error_that_says_what_is_wrong(self) -> None:
        output = await agent(['{"name": "Rome"}'], output_schema=City).arun("hi")
        assert output.status is RunStatus.ERROR
        assert output.error_type == "output_schema"
        assert "people" in output.content

    async def test_a_run_may_bring_its_own(self) -> None:
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        output = await agent(['```json\n{"n": 1}\n```']).arun("hi", output_schema=schema)
        assert output.content == {"n": 1}

    async def test_an_unusable_one_is_refused_before_anything_runs(self) -> None:
        with pytest.raises(InvalidInputError):
            await agent([]).arun("hi", output_schema={"type": "array"})


class TestTools:
    async def test_calls_of_one_turn_run_side_by_side(self) -> None:
        both = asyncio.Barrier(2)

        async def meet(name: str) -> str:
            async with asyncio.timeout(5):
                await both.wait()
            return f"met as {name}"

        some = agent(
            [CallTools(("meet", {"name": "a"}), ("meet", {"name": "b"})), "done"], tools=[meet]
        )
        output = await some.arun("hi")
        assert [t.result for t in output.tools] == ["met as a", "met as b"]
        results = [c for role, c in seen_by(some, 1) if role == "tool"]
        assert results == ["met as a", "met as b"]

    async def test_bad_arguments_and_exceptions_go_back_to_the_model(self) -> None:
        def divide(a: int, b: int) -> float:
            return a / b

        calls = CallTools(
            ("divide", {"a": 1, "b": 0}), ("divide", {"a": "x", "b": 1}), ("divide", "{"), ("x", {})
        )
        output = await agent([calls, "I see"], tools=[divide]).arun("hi")
        assert output.content == "I see"
        assert all(t.tool_call_error for t in output.tools)
        results = [t.result or "" for t in output.tools]
        assert "ZeroDivisionError" in results[0]
        assert "a" in results[1]
        assert "There is no tool 'x'. There are: divide." in results[3]

    async def test_the_limit_ends_tool_calls_and_asks_for_an_answer(self) -> None:
        called: list[int] = []

        def step(n: int) -> str:
            called.append(n)
            return "ok"

        calls = CallTools(("step", {"n": 1}), ("step", {"n": 2}), ("step", {"n": 3}))
        some = agent([calls, "enough"], tools=[step], tool_call_limit=2)
        output = await some.arun("hi")
        assert sorted(called) == [1, 2]
        assert [bool(t.tool_call_error) for t in output.tools] == [False, False, True]
        assert isinstance(some.model, ScriptedModel)
        assert [r.tool_choice for r in some.model.requests] == ["auto", "none"]

    async def test_a_model_that_never_answers_is_stopped(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("licet.agent.loop.MAX_TURNS", 3)

        def again() -> str:
            return "again"

        some = Agent(
            id="a",
            model=ScriptedModel([CallTools(("again", {}))], when_exhausted="repeat_last"),
            tools=[again],
        )
        output = await some.arun("hi")
        assert (output.status, output.error_type) == (RunStatus.ERROR, "too_many_turns")
        assert len(output.tools) == 3

    async def test_a_tool_may_end_the_run_with_its_result(self) -> None:
        from licet.tools import tool

        @tool(stop_after_tool_call=True)
        def hand_over() -> str:
            return "a person will call you"

        output = await agent([CallTools(("hand_over", {}))], tools=[hand_over]).arun("hi")
        assert output.content == "a person will call you"

    async def test_tool_events_come_in_the_order_of_the_interface(self) -> None:
        def fine() -> str:
            return "ok"

        def broken() -> str:
            raise ValueError("no")

        some = agent(
            [CallTools(("fine", {})), CallTools(("broken", {})), "done"], tools=[fine, broken]
        )
        assert names(await events_of(some)) == [
            "RunStarted",
            "ModelRequestStarted",
            "ModelRequestCompleted",
            "ToolCallStarted",
            "ToolCallCompleted",
            "ModelRequestStarted",
            "ModelRequestCompleted",
            "ToolCallStarted",
            "ToolCallCompleted",
            "ToolCallError",
            "ModelRequestStarted",
            "RunContent",
            "ModelRequestCompleted",
            "RunContentCompleted",
            "RunCompleted",
        ]

    async def test_the_context_tells_a_tool_whose_run_it_is(self) -> None:
        seen: list[RunContext] = []

        def look(context: RunContext) -> str:
            seen.append(context)
            return "ok"

        some = agent([CallTools(("look", {})), "done"], tools=[look])
        output = await some.arun("hi", session_id="s", user_id="u", metadata={"k": "v"})
        (context,) = seen
        assert (context.run_id, context.session_id) == (output.run_id, "s")
        assert (context.agent_id, context.user_id, context.principal) == ("a", "u", None)
        assert context.metadata == {"k": "v"}


def test_messages_survive_their_json() -> None:
    message = Message(role="user", content="ü \0 \u2028", images=(Image(url="https://x.example"),))
    output = RunOutput.from_json(
        b'{"run_id":"r","session_id":"s","agent_id":"a","agent_name":"A","status":"RUNNING",'
        b'"created_at":1,"input":{"input_content":"x"}}'
    )
    import msgspec

    again = RunOutput.from_json(msgspec.structs.replace(output, messages=(message,)).to_json())
    assert again.messages == (message,)


async def test_the_system_message_is_the_operators_and_not_in_the_run() -> None:
    output = await agent(["ok"], system_message="secret instructions").arun("hi")
    assert "secret instructions" not in output.to_json().decode()
    assert [m.role for m in output.messages] == ["user", "assistant"]


async def test_a_failed_run_is_in_the_log_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    error = ModelUnavailableError("the provider is away", provider="x")
    error.__cause__ = OSError("10.0.0.5 refuses")
    output = await agent([Fail(error)]).arun("hi")
    assert "10.0.0.5" in caplog.text
    assert "10.0.0.5" not in output.to_json().decode()
