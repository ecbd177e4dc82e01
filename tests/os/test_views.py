from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from licet.agent.output import RunInput, RunOutput, ToolExecution
from licet.db.records import RunRecord, RunStatus, SessionRecord
from licet.models.message import Image, Message, TextFile
from licet.os.views import JSON, iso, page, run_preview, run_view, session_detail, without_nulls


def record(**values: Any) -> RunRecord:
    """A stored run with this output."""
    output = RunOutput(
        **{
            "run_id": "r",
            "session_id": "s",
            "agent_id": "a",
            "agent_name": "A",
            "status": RunStatus.COMPLETED,
            "created_at": 1,
            "input": RunInput("hi"),
            **values,
        }
    )
    return RunRecord(
        owner="o",
        session_id="s",
        run_id="r",
        component_id="a",
        status=output.status,
        body=output.to_json(),
        created_at_us=1_000_000,
        updated_at_us=1_000_000,
    )


@pytest.mark.parametrize(
    ("epoch_us", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_999_999, "1970-01-01T00:00:01Z"),
        (1_700_000_000_000_000, "2023-11-14T22:13:20Z"),
    ],
)
def test_times_are_iso_to_the_second(epoch_us: int, text: str) -> None:
    assert iso(epoch_us) == text


def test_nulls_are_left_out_and_other_empty_values_stay() -> None:
    assert without_nulls({"a": None, "b": "", "c": [], "d": 0}) == {"b": "", "c": [], "d": 0}


def test_json_takes_what_has_a_json_form_and_bytes_as_they_are() -> None:
    class Point(BaseModel):
        x: int

    assert json.loads(bytes(JSON({"p": Point(x=1), "o": object}).body))["p"] == {"x": 1}
    assert JSON(b"[1 ]", 201).body == b"[1 ]"
    assert JSON({}).headers["content-type"] == "application/json"


@pytest.mark.parametrize(("total", "pages"), [(0, 0), (1, 1), (20, 1), (21, 2), (40, 2)])
def test_pages_are_counted(total: int, pages: int) -> None:
    meta = page([], number=1, limit=20, total=total, milliseconds=1.2345)["meta"]
    assert (meta["total_pages"], meta["total_count"], meta["search_time_ms"]) == (
        pages,
        total,
        1.23,
    )


def test_a_run_view_tells_tools_reasoning_and_what_came_along() -> None:
    run = run_view(
        record(
            reasoning_content="because",
            tools=(ToolExecution(tool_call_id="c", tool_name="t", tool_args={}, created_at=1),),
            input=RunInput("hi", (Image(url="https://a.example"),), (TextFile("n", "t"),)),
        )
    )
    assert run["reasoning_content"] == "because"
    assert run["tools"][0].tool_name == "t"
    assert run["input_media"]["images"][0].url == "https://a.example"
    assert run["input_media"]["files"][0].name == "n"
    assert run_view(record())["input_media"] is None


def test_a_run_view_tells_which_request_started_it_if_one_did() -> None:
    assert run_view(record(request_id="r-1"))["request_id"] == "r-1"
    assert "request_id" not in run_view(record())


def test_runs_that_were_stored_without_a_request_id_are_read() -> None:
    body = (
        b'{"run_id":"r","session_id":"s","agent_id":"a","agent_name":"A","status":"COMPLETED",'
        b'"created_at":1,"input":{"input_content":"hi"},"content":"hello"}'
    )
    run = RunOutput.from_json(body)
    assert (run.content, run.request_id) == ("hello", None)
    assert run.to_json() == body


@pytest.mark.parametrize(
    ("content", "preview"),
    [
        (None, ""),
        ("", ""),
        ("x" * 281, "x" * 280),
        ({"a": ["ä"]}, '{"a":["ä"]}'),
        ([], "[]"),
        (0, "0"),
    ],
)
def test_a_preview_is_the_content_as_text(content: Any, preview: str) -> None:
    assert run_preview(record(content=content))["content_preview"] == preview


@pytest.mark.parametrize("kind", ["team", "workflow"])
def test_other_types_have_no_data_of_an_agent(kind: str) -> None:
    session = SessionRecord(
        owner="o", session_id="s", session_type=kind, created_at_us=0, updated_at_us=0
    )
    messages = (Message(role="user", content="hi"),)
    detail = session_detail(session, [record(messages=messages)], agent=None, total_tokens=3)
    assert not {"agent_data", "agent_session_id", "agent_id"} & set(detail)
    assert [message.content for message in detail["chat_history"]] == ["hi"]
    assert detail["total_tokens"] == 3
