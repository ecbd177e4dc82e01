"""What a body may say that goes on with a run: decisions by the id of a call, and nothing else."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.requests import Request

from licet.agent.decisions import Decision
from licet.errors import InvalidInputError
from licet.os.continue_form import MAX_NOTE_CHARS, ContinueForm, read_continue_form
from licet.os.values import MissingFieldError

JSON = "application/json"
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"


async def read(fields: Any, kind: str = JSON) -> ContinueForm:
    """What a body with these fields says."""
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())]}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return await read_continue_form(Request(scope, receive))


def multipart(name: str, value: str, *, file: bool = False) -> bytes:
    """A field, or a file in its place."""
    named = f'form-data; name="{name}"' + ('; filename="f.txt"' if file else "")
    lines = ["--x", f"Content-Disposition: {named}", "", value, "--x--", ""]
    return "\r\n".join(lines).encode()


async def test_what_is_absent_has_its_documented_value() -> None:
    for body, kind in ((b"{}", JSON), (b"", URLENCODED), (b"--x--\r\n", MULTIPART)):
        form = await read(body, kind)
        assert form == ContinueForm(
            decisions=(), stream=True, stream_events=True, background=False, session_id=None
        )


async def test_empty_values_count_as_absent() -> None:
    form = await read(b"tools=&stream=&session_id=&continue_from=&fork=&input=", URLENCODED)
    assert (form.decisions, form.stream, form.session_id) == ((), True, None)


async def test_a_form_and_json_say_the_same() -> None:
    tools = [{"tool_call_id": "c1", "confirmed": True}]
    text = json.dumps(tools)
    expected = (Decision(tool_call_id="c1", confirmed=True),)
    for body, kind in (
        ({"tools": tools}, JSON),
        ({"tools": text}, JSON),
        (urlencode({"tools": text}).encode(), URLENCODED),
        (multipart("tools", text), MULTIPART),
    ):
        assert (await read(body, kind)).decisions == expected


async def test_of_a_whole_record_only_what_was_decided_is_looked_at() -> None:
    record = {
        "tool_call_id": "c1",
        "tool_name": "format_disk",
        "tool_args": {"path": "/"},
        "tool_call_error": False,
        "metrics": {"duration": 0},
        "requires_confirmation": False,
        "external_execution_required": True,
        "approval_type": None,
        "approval_id": "another",
        "answered": True,
        "confirmed": True,
        "confirmation_note": "fine",
    }
    (decision,) = (await read({"tools": [record]})).decisions
    assert decision == Decision(tool_call_id="c1", confirmed=True, note="fine")


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"confirmed": None},
        {"confirmation_note": "hm"},
        {"result": None},
        {"user_input_schema": None},
        {"user_input_schema": []},
        {"user_input_schema": [{"name": "to", "value": None}, {"name": "cc"}]},
        {"answered": True, "tool_args": {"to": "eve"}},
    ],
)
async def test_a_call_of_which_nothing_is_said_is_only_sent_back(said: dict[str, Any]) -> None:
    assert (await read({"tools": [{"tool_call_id": "c1", **said}]})).decisions == ()


async def test_the_users_values_are_taken_by_their_names() -> None:
    fields = [
        {"name": "to", "value": "bob", "field_type": "int", "description": "forged"},
        {"name": "copies", "value": 0},
        {"name": "left_out", "value": None},
    ]
    tools = [{"tool_call_id": "c1", "user_input_schema": fields}]
    (decision,) = (await read({"tools": tools})).decisions
    assert decision.values == {"to": "bob", "copies": 0}


@pytest.mark.parametrize(
    ("given", "result"),
    [("", ""), ("text", "text"), ({"a": [1, None]}, '{"a":[1,null]}'), (0, "0"), (False, "false")],
)
async def test_a_result_is_a_text_or_the_json_of_what_it_is(given: Any, result: str) -> None:
    (decision,) = (await read({"tools": [{"tool_call_id": "c1", "result": given}]})).decisions
    assert decision.result == result


@pytest.mark.parametrize(
    ("tools", "field"),
    [
        ({}, "tools"),
        ("{", "tools"),
        ("1", "tools"),
        ("null", "tools"),
        (True, "tools"),
        ([1], "tools[0]"),
        ([None], "tools[0]"),
        ([["c1"]], "tools[0]"),
        ([{}], "tools[0].tool_call_id"),
        ([{"tool_call_id": None, "confirmed": True}], "tools[0].tool_call_id"),
        ([{"tool_call_id": 1}], "tools[0].tool_call_id"),
        ([{"tool_call_id": ["c1"]}], "tools[0].tool_call_id"),
        ([{"tool_call_id": "c1"}, {"tool_call_id": {}}], "tools[1].tool_call_id"),
        ([{"tool_call_id": "c1", "confirmed": "true"}], "tools[0].confirmed"),
        ([{"tool_call_id": "c1", "confirmed": 1}], "tools[0].confirmed"),
        ([{"tool_call_id": "c1", "confirmed": [True]}], "tools[0].confirmed"),
        ([{"tool_call_id": "c1", "confirmation_note": 1}], "tools[0].confirmation_note"),
        ([{"tool_call_id": "c1", "user_input_schema": {}}], "tools[0].user_input_schema"),
        ([{"tool_call_id": "c1", "user_input_schema": [1]}], "tools[0].user_input_schema"),
        (
            [{"tool_call_id": "c1", "user_input_schema": [{"value": 1}]}],
            "tools[0].user_input_schema",
        ),
        (
            [{"tool_call_id": "c1", "user_input_schema": [{"name": [], "value": 1}]}],
            "tools[0].user_input_schema",
        ),
        ([{"tool_call_id": "c1", "result": "a\0b"}], "tools"),
        ('[{"tool_call_id": "\\ud800"}]', "tools"),
        ('[{"tool_call_id": "c1", "result": 1e400}]', "tools"),
        ("[" * 100_000, "tools"),
        ("[" * 100 + "]" * 100, "tools"),
        ([{"tool_call_id": "c1", "result": "x" * 300_000}], "tools"),
    ],
)
async def test_what_is_no_list_of_decisions_is_refused_by_its_place(tools: Any, field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await read({"tools": tools})
    assert refused.value.field == field


async def test_a_call_has_to_be_named() -> None:
    with pytest.raises(MissingFieldError):
        await read({"tools": [{"confirmed": True}]})


async def test_a_note_is_no_novel() -> None:
    said = {"tool_call_id": "c1", "confirmed": False, "confirmation_note": "x" * MAX_NOTE_CHARS}
    (decision,) = (await read({"tools": [said]})).decisions
    assert decision.note == "x" * MAX_NOTE_CHARS
    said["confirmation_note"] = "x" * (MAX_NOTE_CHARS + 1)
    with pytest.raises(InvalidInputError, match="at most 2000 characters"):
        await read({"tools": [said]})


@pytest.mark.parametrize(
    "field", ["fork", "regenerate", "replace_original", "input", "additional_instructions"]
)
@pytest.mark.parametrize("value", [True, "true", "on", 1, [], {}, ["x"], 1.5])
async def test_what_a_paused_run_cannot_do_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await read({field: value})
    assert refused.value.field == field


@pytest.mark.parametrize("field", ["fork", "regenerate", "replace_original"])
@pytest.mark.parametrize("value", [False, "false", "False", "0", "off"])
async def test_what_todays_clients_always_send_is_no_wish(field: str, value: Any) -> None:
    assert (await read({field: value, "continue_from": "end"})).decisions == ()


@pytest.mark.parametrize("value", ["last_user", "3", 3, ["end"], {"end": 1}, "END"])
async def test_a_run_goes_on_only_from_its_end(value: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await read({"continue_from": value})
    assert refused.value.field == "continue_from"


@pytest.mark.parametrize(
    "field", ["tools", "fork", "input", "continue_from", "stream", "session_id"]
)
async def test_a_file_is_no_value(field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await read(multipart(field, "[]", file=True), MULTIPART)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stream", "perhaps"),
        ("stream", 2),
        ("stream_events", []),
        ("background", {}),
        ("session_id", 1),
        ("session_id", "a\0"),
        ("session_id", "x" * 300),
    ],
)
async def test_other_junk_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await read({field: value})
    assert refused.value.field == field
