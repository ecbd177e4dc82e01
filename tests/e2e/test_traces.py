"""A trace of one run, as a real receiver gets it: one tree, and no secret in it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.traced import (
    ANSWER,
    API_KEY,
    ARGUMENT,
    QUESTION,
    RESULT,
    Place,
    below,
    environment,
    names,
    served,
)
from tests.support.durable_place import wait_for
from tests.support.otlp import SpanSeen

REQUEST = "POST /agents/{agent_id}/runs"
RUN = "invoke_agent Clerk"
FORMS = {
    "plain": {"stream": "false"},
    "streamed": {"stream": "true"},
    "durable and followed": {"stream": "true", "background": "true"},
    "durable": {"stream": "false", "background": "true"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("traced")
    with environment(folder) as (received, env), served(folder, received, env) as place:
        yield place


def trace_of(place: Place, request: SpanSeen) -> list[SpanSeen]:
    """Its spans, once the run is there too: a parent ends after all that is below it."""
    spans = place.received.wait_for(
        lambda spans: RUN in names(below(spans, request)), what="the run's span"
    )
    return [span for span in spans if span.trace_id == request.trace_id]


def asked(place: Place, **form: str) -> SpanSeen:
    """The span of a new request for a run."""
    before = {span.span_id for span in place.received.spans}

    def new(spans: list[SpanSeen]) -> list[SpanSeen]:
        return [span for span in spans if span.name == REQUEST and span.span_id not in before]

    place.run(**form)
    (request,) = new(
        place.received.wait_for(lambda spans: bool(new(spans)), what="the request's span")
    )
    return request


@pytest.mark.parametrize("form", list(FORMS.values()), ids=list(FORMS))
def test_a_run_is_one_tree(place: Place, form: dict[str, str]) -> None:
    request = asked(place, **form)
    spans = trace_of(place, request)
    assert (request.kind, request.parent_id) == ("SERVER", "")
    decision, run = below(spans, request)
    assert names([decision, run]) == ["authorize", RUN]
    of_run = below(spans, run)
    assert names(of_run) == ["chat gpt-test", "execute_tool look", "chat gpt-test"]
    assert below(spans, decision) == []
    assert [below(spans, span) for span in of_run] == [[], [], []]
    # Whatever else is in the trace (statements) has a parent in it, too.
    ids = {span.span_id for span in spans}
    assert all(span.parent_id in ids for span in spans if span is not request)


def test_each_span_says_what_it_is_about(place: Place) -> None:
    request = asked(place, stream="false")
    spans = trace_of(place, request)
    decision, run = below(spans, request)
    _, tool, chat = below(spans, run)
    assert (request.service, run.service) == ("parcels", "parcels")
    told = {
        "http.route": "/agents/{agent_id}/runs",
        "http.response.status_code": 200,
        "licet.request.id": "r-1",
    }
    assert told.items() <= request.attributes.items()
    whose = {"licet.principal.issuer": "default", "licet.principal.subject": "uma"}
    assert decision.attributes == whose | {
        "licet.decision": "allow",
        "licet.rule": "scope:agents:run",
        "licet.reason": "the caller holds agents:run",
        "licet.action": "agents:run",
        "licet.resource": "agents",
        "licet.resource.id": "clerk",
    }
    assert whose.items() <= run.attributes.items()
    assert run.attributes["licet.run.status"] == "COMPLETED"
    assert run.attributes["gen_ai.conversation.id"] == "s1"
    assert tool.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call_0",
    }
    assert (chat.kind, chat.attributes) == (
        "CLIENT",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-test",
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.usage.output_tokens": 4,
            "gen_ai.response.finish_reasons": ["stop"],
        },
    )


def test_a_run_that_fails_says_by_what_kind_of_error(place: Place) -> None:
    request = asked(place, message="fail now", stream="false")
    spans = trace_of(place, request)
    _, run = below(spans, request)
    (chat,) = below(spans, run)
    assert (run.status, chat.status) == ("ERROR", "ERROR")
    assert run.attributes["error.type"] == chat.attributes["error.type"] == "model_request"
    assert run.attributes["licet.run.status"] == "ERROR"
    assert [span.events for span in spans] == [()] * len(spans)


def test_lines_of_the_log_name_request_run_principal_and_trace(place: Place) -> None:
    request = asked(place, message="fail now", stream="false")
    _, run = below(trace_of(place, request), request)
    lines = [json.loads(line) for line in place.process.lines]
    (failed,) = [line for line in lines if line.get("run_id") == run.attributes["licet.run.id"]]
    assert failed["logger"] == "licet.agent.run"
    known = {"request_id": "r-1", "principal": "default|uma", "trace_id": request.trace_id}
    assert known.items() <= failed.items()
    (access,) = [
        line
        for line in lines
        if line["logger"] == "uvicorn.access" and line.get("trace_id") == request.trace_id
    ]
    assert (access["method"], access["path"], access["status"]) == (
        *("POST", "/agents/clerk/runs"),
        200,
    )


def test_nothing_that_was_said_and_no_secret_leaves_the_process(place: Place) -> None:
    for form in FORMS.values():
        trace_of(place, asked(place, **form))
    asked(place, message="fail now", stream="true")
    place.received.wait_for(
        lambda _: "gen_ai.client.token.usage" in place.received.metrics, what="the numbers"
    )
    sent = b"".join(place.received.raw)
    log = place.process.output.encode()
    # The search finds what is there: else it would find nothing of what must not be.
    assert b"gpt-test" in sent
    assert b"uvicorn.access" in log
    signature = place.token.rpartition(".")[2]
    for text in (place.token, signature, API_KEY, QUESTION, ARGUMENT, RESULT, ANSWER):
        assert text.encode() not in sent, text
        assert text.encode() not in log, text


def test_no_number_is_told_by_user_run_session_or_path(place: Place) -> None:
    asked(place, stream="false")
    place.received.wait_for(
        lambda _: {"licet.runs", "licet.runs.waiting"} <= place.received.metrics,
        what="the numbers of runs",
    )
    assert place.received.metrics == {
        "http.server.request.duration",
        "gen_ai.client.operation.duration",
        "gen_ai.client.token.usage",
        "gen_ai.execute_tool.duration",
        "gen_ai.invoke_agent.duration",
        "licet.decisions",
        "licet.runs",
        "licet.runs.at_work",
        "licet.runs.waiting",
        "licet.streams.open",
    }
    values = {value for _, _, value in place.received.labels}
    assert {"clerk", "/agents/{agent_id}/runs", "agents:run", "allow"} <= values
    assert not values & {"uma", "default|uma", "s1", "r-1", "/agents/clerk/runs"}


def test_a_run_that_another_process_goes_on_with_stays_in_its_tree(tmp_path: Path) -> None:
    (tmp_path / "closed").touch()
    with environment(tmp_path) as (received, env):
        with served(tmp_path, received, env) as first:
            request = asked(first, stream="false", background="true")
            received.wait_for(lambda spans: "chat gpt-test" in names(spans), what="a model call")
            # What is before a tool is stored when the tool begins.
            wait_for((tmp_path / "begun").exists, "the tool")
            first.process.popen.send_signal(signal.SIGKILL)
            first.process.popen.wait(timeout=60)
        (tmp_path / "closed").unlink()
        with served(tmp_path, received, env) as second:
            spans = trace_of(second, request)
            _, run = below(spans, request)
            # The model call that had ended was not made again.
            assert names(below(spans, run)) == ["execute_tool look", "chat gpt-test"]
            assert run.instance != request.instance
            assert run.attributes["licet.run.status"] == "COMPLETED"
