from __future__ import annotations

from typing import Any

import httpx
from opentelemetry.sdk.trace import ReadableSpan

from licet.agent import Agent
from licet.errors import ModelUnavailableError
from licet.models.message import Usage
from licet.testing import CallTools, Fail, Say, ScriptedModel
from licet.testing.scripted import Turn
from tests.support.streams import Hold
from tests.support.world import OWNER
from tests.telemetry.conftest import Observed


def look(what: str) -> str:
    """Look for something, which breaks where there is none."""
    if what == "nothing":
        raise ValueError("secret")
    return "secret"


def asked(observed: Observed, *turns: Turn, tools: Any = (look,), **form: str) -> httpx.Response:
    """The answer to a run in which a model says that."""
    model = ScriptedModel(turns)
    observed.world.agents = [Agent(id="alpha", name="Alpha", model=model, tools=tools, db=None)]
    with observed.served() as client:
        data = {"message": "secret", "stream": "false", "session_id": "s1", **form}
        headers = observed.world.bearer(OWNER, "agents:run")
        return client.post("/agents/alpha/runs", data=data, headers=headers)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_what_a_model_call_has_used_is_told(observed: Observed) -> None:
    usage = Usage(10, 5, 15, reasoning_tokens=2, cache_read_tokens=7)
    asked(observed, Say("secret", usage=usage), stream="true")
    (chat,) = observed.seen("chat")
    told = attributes(chat)
    assert told.pop("gen_ai.response.time_to_first_chunk") >= 0
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "licet",
        "gen_ai.request.model": "scripted",
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 7,
        "gen_ai.response.finish_reasons": ("stop",),
    }
    common = {key: told[key] for key in list(told)[:3]}
    assert observed.counted("gen_ai.client.token.usage") == [
        ({**common, "gen_ai.token.type": "input"}, 1),
        ({**common, "gen_ai.token.type": "output"}, 1),
    ]
    assert observed.counted("gen_ai.client.operation.duration") == [(common, 1)]


def test_a_failed_model_call_is_told_by_its_code(observed: Observed) -> None:
    asked(observed, Fail(ModelUnavailableError("secret", provider="x")))
    (chat,), (run,) = observed.seen("chat"), observed.seen("invoke_agent")
    for span in (chat, run):
        assert attributes(span)["error.type"] == "model_unavailable"
        assert not span.status.is_ok
    assert observed.counted("gen_ai.client.token.usage") == []
    ((labels, _),) = observed.counted("gen_ai.client.operation.duration")
    assert labels["error.type"] == "model_unavailable"
    assert observed.counted("licet.runs") == [
        ({"gen_ai.agent.id": "alpha", "licet.run.status": "ERROR"}, 1)
    ]


def test_a_tool_that_breaks_is_an_error_of_its_span_alone(observed: Observed) -> None:
    asked(observed, CallTools(("look", {"what": "nothing"})), Say("done"))
    (tool,), (run,) = observed.seen("execute_tool"), observed.seen("invoke_agent")
    assert attributes(tool)["error.type"] == "tool_error"
    assert not tool.status.is_ok
    assert attributes(run)["licet.run.status"] == "COMPLETED"
    assert "error.type" not in attributes(run)
    assert observed.counted("gen_ai.execute_tool.duration") == [
        (
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "look",
                "error.type": "tool_error",
            },
            1,
        )
    ]


def test_a_tool_that_a_model_has_made_up_is_no_name_of_anything(observed: Observed) -> None:
    asked(observed, CallTools(("made_up", {})), Say("done"))
    assert observed.seen("execute_tool") == []
    assert observed.counted("gen_ai.execute_tool.duration") == []


def test_tools_side_by_side_stand_below_their_run(observed: Observed) -> None:
    calls = CallTools(("look", {"what": "a"}), ("look", {"what": "b"}))
    asked(observed, calls, Say("done"))
    (run,) = observed.seen("invoke_agent")
    tools = observed.seen("execute_tool")
    assert len({attributes(tool)["gen_ai.tool.call.id"] for tool in tools}) == 2
    assert run.context is not None
    assert [tool.parent and tool.parent.span_id for tool in tools] == [run.context.span_id] * 2


def test_nothing_that_was_said_is_in_any_span(observed: Observed) -> None:
    asked(observed, CallTools(("look", {"what": "secret"})), Say("secret"))
    spans = observed.spans.get_finished_spans()
    assert len(spans) == 6
    assert "secret" not in "".join(span.to_json() for span in spans)


def test_a_run_that_is_cancelled_says_so_and_is_no_error(observed: Observed) -> None:
    hold = Hold()
    model = ScriptedModel([Say("one two", hold=hold, hold_after=1)])
    observed.world.agents = [Agent(id="alpha", model=model)]
    with observed.served() as client:
        headers = observed.world.bearer(OWNER, "agents:run")
        data = {"message": "hi", "stream": "true"}
        with client.stream("POST", "/agents/alpha/runs", data=data, headers=headers) as answer:
            lines = answer.iter_lines()
            started = next(line for line in lines if line.startswith("data: "))
            run_id = started.partition('"run_id":"')[2].partition('"')[0]
            client.post(f"/agents/alpha/runs/{run_id}/cancel", headers=headers)
            assert "event: RunCancelled" in list(lines)
        hold.opened.set()
    (run,), (chat,) = observed.seen("invoke_agent"), observed.seen("chat")
    assert attributes(run)["licet.run.status"] == "CANCELLED"
    assert attributes(chat)["error.type"] == "cancelled"
    assert run.status.is_unset
    assert chat.status.is_unset
    assert observed.counted("licet.runs") == [
        ({"gen_ai.agent.id": "alpha", "licet.run.status": "CANCELLED"}, 1)
    ]


def test_runs_of_an_open_server_are_nobodys(observed: Observed) -> None:
    from licet.os import AgentOS
    from tests.support.live import serve

    agents = [Agent(id="alpha", model=ScriptedModel([Say("hello")]))]
    agent_os = AgentOS(agents=agents, db=observed.world.db, telemetry=observed.telemetry())
    with serve(agent_os.get_app()) as server:
        data = {"message": "hi", "stream": "false"}
        assert httpx.post(f"{server.url}/agents/alpha/runs", data=data).status_code == 200
    (run,), (decision,) = observed.seen("invoke_agent"), observed.seen("authorize")
    assert "licet.principal.subject" not in attributes(run)
    assert attributes(decision)["licet.rule"] == "open"
    assert [span.name for span in observed.seen("POST")] == ["POST /agents/{agent_id}/runs"]
