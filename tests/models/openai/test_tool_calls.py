from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from licet.models.message import ToolCall
from licet.models.openai.tool_calls import NamelessToolCallError, ToolCallAssembler
from licet.models.openai.wire import ToolCallPart


def _assemble(*chunks: list[dict[str, Any]], whole: bool = False) -> tuple[ToolCall, ...]:
    assembler = ToolCallAssembler()
    for chunk in chunks:
        parts = msgspec.convert(chunk, list[ToolCallPart])
        if whole:
            assembler.add_whole(parts)
        else:
            assembler.add_pieces(parts)
    numbers = itertools.count()
    return assembler.calls(lambda: f"new_{next(numbers)}")


def _flat(calls: tuple[ToolCall, ...]) -> list[tuple[str, str, str]]:
    return [(call.id, call.function.name, call.function.arguments) for call in calls]


def _part(
    index: int | None = None,
    id: str | None = None,
    name: str | None = None,
    arguments: Any = None,
) -> dict[str, Any]:
    return {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}


_TWO_CALLS = [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [
                [_part(0, "a", "f", "")],
                [_part(0, arguments='{"x"')],
                [_part(0, arguments=":1}")],
                [_part(1, "b", "g", "")],
                [_part(1, arguments='{"y":2}')],
            ],
            id="numbered, as OpenAI does",
        ),
        pytest.param(
            [
                [_part(0, "a", "f", ""), _part(1, "b", "g", "")],
                [_part(1, arguments='{"y":'), _part(0, arguments='{"x":')],
                [_part(0, arguments="1}"), _part(1, arguments="2}")],
            ],
            id="interleaved",
        ),
        pytest.param(
            [[_part(0, "a")], [_part(0, None, "f", '{"x":1}')], [_part(1, "b", "g", '{"y":2}')]],
            id="id before the name",
        ),
        pytest.param(
            [
                [_part(0, None, "f")],
                [_part(0, "a", None, '{"x":1}'), _part(1, "b", "g", '{"y":2}')],
            ],
            id="name before the id",
        ),
        pytest.param(
            [[_part(None, "a", "f", '{"x":1}'), _part(None, "b", "g", '{"y":2}')]],
            id="whole and without numbers",
        ),
        pytest.param(
            [
                [_part(None, "a", "f", '{"x"')],
                [_part(None, arguments=":1}")],
                [_part(None, "b", "g", '{"y"')],
                [_part(None, "b", None, ":2}")],
            ],
            id="in pieces and without numbers",
        ),
        pytest.param(
            [
                [_part(None, None, "f")],
                [_part(None, "a", None, '{"x":1}')],
                [_part(None, "b", "g", '{"y":2}')],
            ],
            id="name before the id and without numbers",
        ),
        pytest.param(
            [[_part(0, "a", "f", '{"x":1}')], [_part(0, "b", "g", '{"y":2}')]],
            id="all with the number 0",
        ),
        pytest.param(
            [
                [_part(0, "a", "f", '{"x"')],
                [_part(0, "a", "f", ":1}")],
                [_part(1, "b", "g", '{"y":2}')],
                [_part(1, "b", "g", "")],
            ],
            id="name and id repeated in each piece",
        ),
        pytest.param(
            [[_part(0, "a", "f", {"x": 1}), _part(1, "b", "g", {"y": 2})]],
            id="arguments as objects",
        ),
    ],
)
def test_calls_are_put_together_however_they_are_cut(chunks: list[list[dict[str, Any]]]) -> None:
    assert _flat(_assemble(*chunks)) == _TWO_CALLS


def test_whole_calls_without_number_and_id_are_kept_apart_and_named() -> None:
    chunk = [_part(None, "", "f", '{"x":1}'), _part(None, None, "f", '{"x":1}')]
    expected = [("new_0", "f", '{"x":1}'), ("new_1", "f", '{"x":1}')]

    assert _flat(_assemble(chunk)) == expected
    assert _flat(_assemble(chunk, whole=True)) == expected


def test_a_name_in_pieces_is_joined() -> None:
    assert _flat(_assemble([_part(0, "a", "web_")], [_part(0, None, "search", "{}")])) == [
        ("a", "web_search", "{}")
    ]


def test_a_call_without_arguments_gets_an_empty_object() -> None:
    assert _flat(_assemble([{"id": "a", "function": {"name": "now"}}], [{"id": "a"}])) == [
        ("a", "now", "{}")
    ]


def test_arguments_that_are_no_json_are_kept_as_the_model_wrote_them() -> None:
    assert _flat(_assemble([_part(0, "a", "f", '{"x": oops')])) == [("a", "f", '{"x": oops')]


def test_a_call_that_names_no_function_is_an_error() -> None:
    with pytest.raises(NamelessToolCallError):
        _assemble([_part(0, "a", None, "{}")])
