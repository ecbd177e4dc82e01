from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.requests import Request

from licet.agent import Agent
from licet.errors import InvalidInputError
from licet.os.run_form import RunForm, read_run_form
from licet.os.values import MissingFieldError
from licet.testing import ScriptedModel


async def read(fields: Any, kind: str = "application/json") -> RunForm:
    """What a body with these fields asks."""
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())]}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    agent = Agent(
        id="a",
        model=ScriptedModel([]),
        session_state={"cart": []},
        dependencies={"tenant": None, "secret": "s"},
        metadata={"team": "blue"},
    )
    return await read_run_form(Request(scope, receive), agent)


async def test_what_is_absent_has_its_documented_value() -> None:
    form = await read({"message": "hi"})
    assert (form.message, form.stream, form.stream_events) == ("hi", True, True)
    assert (form.session_id, form.user_id, form.output_schema) == (None, None, None)
    assert (form.images, form.files) == ((), ())
    assert (form.session_state, form.dependencies, form.metadata) == (None, None, None)


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/x+json"])
async def test_json_has_more_than_one_name(kind: str) -> None:
    assert (await read({"message": "hi", "stream": False}, kind)).stream is False


async def test_an_undeclared_key_or_one_that_the_server_has_set_is_refused() -> None:
    form = await read({"message": "x", "dependencies": {"tenant": 1}, "session_state": {"cart": 2}})
    assert (form.dependencies, form.session_state) == ({"tenant": 1}, {"cart": 2})
    for field, value in (("dependencies", {"secret": 1}), ("session_state", {"admin": 1})):
        with pytest.raises(InvalidInputError, match="declares") as caught:
            await read({"message": "x", field: value})
        assert caught.value.field == field


async def test_metadata_is_added_to_the_agents_own_and_never_over_it() -> None:
    assert (await read({"message": "x", "metadata": {"mine": 1}})).metadata == {"mine": 1}
    with pytest.raises(InvalidInputError, match="other keys than 'team'"):
        await read({"message": "x", "metadata": {"mine": 1, "team": "red"}})


@pytest.mark.parametrize("fields", [{}, {"message": None}, {"message": ""}])
async def test_the_message_is_required(fields: dict[str, Any]) -> None:
    with pytest.raises(MissingFieldError):
        await read(fields)


@pytest.mark.parametrize(
    "part",
    [
        {"properties": {"a": {"pattern": "^(a+)+$"}}},
        {"patternProperties": {"^(a+)+$": {}}},
        {"$defs": {"x": {"allOf": [{"pattern": "a"}]}}},
    ],
)
async def test_no_regular_expression_of_a_client_is_ever_run(part: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="without 'pattern"):
        await read({"message": "x", "output_schema": {"type": "object", **part}})


async def test_a_property_may_be_called_pattern() -> None:
    schema = {"type": "object", "properties": {"pattern": {"type": "string"}}}
    form = await read({"message": "x", "output_schema": schema})
    assert form.output_schema is not None
    assert form.output_schema.read('{"pattern": "(a+)+"}') == {"pattern": "(a+)+"}


async def test_a_field_may_be_longer_than_the_parser_would_allow() -> None:
    long = "x" * 2_000_000
    body = f'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\n{long}\r\n--b--\r\n'
    form = await read(body.encode(), "multipart/form-data; boundary=b")
    assert form.message == long
