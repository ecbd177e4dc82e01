from __future__ import annotations

import functools
import json
import typing
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, Optional

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from licet.context import RunContext
from licet.errors import ConfigurationError, ToolArgumentsError
from licet.tools.schema import SignatureArguments, read_signature

if typing.TYPE_CHECKING:
    from decimal import Decimal


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int = 0


class Place(BaseModel):
    """Somewhere."""

    title: str
    at: Point | None = None


def arguments(function: Callable[..., Any]) -> SignatureArguments:
    return read_signature(function, name="probe")


def properties(function: Callable[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = arguments(function).json_schema["properties"]
    return found


def documented(
    query: str,
    limit: Annotated[int, Field(ge=1, le=50, description="its own words")] = 5,
    mode: Literal["fast", "slow"] = "fast",
    note: Optional[str] = None,  # noqa: UP045 - both spellings are in use
) -> str:
    """Search.

    Args:
        query: what to look for.
        limit: the docstring's words.
        note: anything.
    """
    return f"{query}{limit}{mode}{note}"


DOCUMENTED = arguments(documented)


def test_a_signature_becomes_a_closed_schema_with_descriptions_and_defaults() -> None:
    assert arguments(documented).json_schema == {
        "type": "object",
        "additionalProperties": False,
        "required": ["query"],
        "properties": {
            "query": {"type": "string", "description": "what to look for."},
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": 50,
                "default": 5,
                "description": "its own words",
            },
            "mode": {"type": "string", "enum": ["fast", "slow"], "default": "fast"},
            "note": {
                "anyOf": [{"type": "string"}, {"type": "null"}],
                "default": None,
                "description": "anything.",
            },
        },
    }


def test_structured_types_are_described_and_read() -> None:
    def visit(place: Place, colour: Colour, points: list[Point], by: dict[str, float]) -> None: ...

    read = arguments(visit).read(
        '{"place": {"title": "Rome", "at": {"x": "1"}}, "colour": "red",'
        ' "points": [{"x": 2, "y": 3}], "by": {"a": 1}}'
    )

    assert read == {
        "place": Place(title="Rome", at=Point(1, 0)),
        "colour": Colour.RED,
        "points": [Point(2, 3)],
        "by": {"a": 1.0},
    }
    schema = arguments(visit).json_schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$defs"]["Place"]["description"] == "Somewhere."


def test_titles_are_left_out_but_parameters_named_title_stay() -> None:
    def name(title: str, place: Place, other: Annotated[str, Field(title="Noise")]) -> None: ...

    schema = arguments(name).json_schema

    assert "title" in schema["properties"]
    assert "title" in schema["$defs"]["Place"]["properties"]
    assert "Noise" not in json.dumps(schema)
    assert "title" not in schema
    assert "title" not in schema["$defs"]["Place"]


def test_values_that_look_like_keywords_are_left_alone() -> None:
    def put(value: dict[str, Any] = {"title": "kept"}) -> None: ...  # noqa: B006 - the schema's default

    assert properties(put)["value"]["default"] == {"title": "kept"}


def test_a_function_without_parameters_takes_an_empty_object() -> None:
    def now() -> str:
        return "now"

    assert arguments(now).json_schema == {
        "type": "object",
        "properties": {},
        "additionalProperties": False,
    }


def test_parameters_may_have_names_that_pydantic_uses_itself() -> None:
    def send(json: str, model_config: int, _id: str, copy: bool = False, p0: int = 0) -> None: ...  # noqa: FBT001, FBT002

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = arguments(send).read('{"json": "a", "model_config": 1, "_id": "b", "p0": 2}')

    assert read == {"json": "a", "model_config": 1, "_id": "b", "p0": 2}


def test_a_parameter_without_annotation_takes_anything() -> None:
    def anything(value) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001 - what is tested

    assert properties(anything) == {"value": {}}
    assert arguments(anything).read('{"value": [1, "a"]}') == {"value": [1, "a"]}


@pytest.mark.parametrize(
    "annotation",
    [RunContext, RunContext | None, Optional[RunContext], Annotated[RunContext, "the run"]],  # noqa: UP045
)
def test_the_run_context_is_not_shown_to_the_model(annotation: Any) -> None:
    def act(what: str, where: Any = None) -> None: ...

    act.__annotations__["where"] = annotation
    read = arguments(act)

    assert list(read.json_schema["properties"]) == ["what"]
    assert read.context_parameter == "where"
    with pytest.raises(ToolArgumentsError, match="where: unknown argument"):
        read.read('{"what": "x", "where": {"run_id": "forged"}}')


def test_self_is_skipped_for_methods_bound_or_not() -> None:
    class Kit:
        def act(self, what: str) -> None: ...

    assert list(properties(Kit().act)) == ["what"]
    assert list(properties(Kit.act)) == ["what"]
    assert arguments(Kit.act).receiver
    assert not arguments(Kit().act).receiver


def test_a_callable_object_is_read_through_its_call_method() -> None:
    class Adder:
        """Adds."""

        def __call__(self, a: int, b: int = 1) -> int:
            """Add two numbers.

            Args:
                a: the first.
            """
            return a + b

    assert properties(Adder())["a"] == {"type": "integer", "description": "the first."}


def test_what_a_partial_has_bound_is_neither_shown_nor_replaceable() -> None:
    def fetch(host: str, key: str, path: str, *, retries: int = 3) -> None: ...

    read = arguments(functools.partial(fetch, "example.org", key="secret"))

    assert list(read.json_schema["properties"]) == ["path", "retries"]
    assert "secret" not in json.dumps(read.json_schema)
    with pytest.raises(ToolArgumentsError, match="key: unknown argument"):
        read.read('{"path": "/", "key": "mine"}')


def test_variadic_parameters_are_left_out() -> None:
    def act(what: str, *more: str, **options: str) -> None: ...

    assert list(properties(act)) == ["what"]


def test_a_wrapped_function_keeps_its_signature() -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    assert arguments(logged(documented)).json_schema == arguments(documented).json_schema


def test_a_default_without_a_json_form_is_not_shown_and_stays_the_functions() -> None:
    def act(what: str = object()) -> None: ...  # type: ignore[assignment]  # a sentinel

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = arguments(act)

    assert read.json_schema["properties"]["what"] == {"type": "string"}
    assert read.read("{}") == {}


def test_a_default_given_by_field_is_filled_in() -> None:
    def act(count: int = Field(3, ge=1), *, other: int = 4) -> None: ...

    assert properties(act)["count"] == {"type": "integer", "minimum": 1, "default": 3}
    assert arguments(act).read("{}") == {"count": 3}


def positional_only(a: int, /) -> None: ...


def takes_callable(callback: Callable[[], None]) -> None: ...


def takes_strange(thing: functools.partial[int], fine: int) -> None: ...


def takes_hidden(amount: Decimal) -> None: ...


def takes_number(amount: 3) -> None: ...  # type: ignore[valid-type]  # what is tested


def takes_missing(amount: json.Amount) -> None: ...  # type: ignore[name-defined]  # what is tested


def takes_two_defaults(amount: Annotated[int, Field(default_factory=int)] = 1) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (positional_only, "'a' is positional-only"),
        (takes_callable, "parameter 'callback' is a "),
        (takes_strange, "parameter 'thing' is a "),
        (takes_number, "parameter 'amount' is a 3"),
        (takes_missing, "annotations are no types: .*Amount"),
        (takes_two_defaults, "default_factory"),
        ({}.update, "signature cannot be read"),
        (takes_hidden, "'Decimal'.*TYPE_CHECKING"),
    ],
)
def test_signatures_that_no_model_can_fill_are_refused(
    function: Callable[..., Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        arguments(function)
    assert "'probe'" in str(caught.value)


@pytest.mark.parametrize("text", ["", "  \n", "{}"])
def test_empty_text_is_no_arguments(text: str) -> None:
    def act(what: str = "all") -> None: ...

    assert arguments(act).read(text) == {}


def test_values_are_coerced_by_lax_rules() -> None:
    assert arguments(documented).read('{"query": "q", "limit": "3"}') == {"query": "q", "limit": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("query", "not valid JSON"),
        ('{"query": "\\ud800"}', "not valid JSON"),
        ('{"query": "\ud800"}', "not valid JSON"),
        ("[" * 10_000, "not valid JSON"),
        ("[1]", "must be one JSON object"),
        ("null", "must be one JSON object"),
        ("{}", "query: missing, it is required"),
        ('{"query": null}', "query: .*valid string"),
        ('{"query": "q", "limit": 99}', "limit: .*less than or equal to 50"),
        ('{"query": "q", "mode": "x"}', "mode: .*'fast' or 'slow'"),
        (
            '{"query": "q", "qury": 1}',
            "qury: unknown argument; known are: query, limit, mode, note",
        ),
    ],
)
def test_wrong_arguments_are_explained_to_the_model(text: str, message: str) -> None:
    with pytest.raises(ToolArgumentsError, match=message):
        arguments(documented).read(text)


def test_every_wrong_argument_is_named_and_no_value_repeated() -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        arguments(documented).read('{"limit": "hunter2", "mode": "hunter2", "note": 1}')

    message = str(caught.value)
    assert all(name in message for name in ("query", "limit", "mode", "note"))
    assert "hunter2" not in message


def test_a_flood_of_wrong_arguments_gives_a_short_message() -> None:
    text = json.dumps({"x" * 1000 + str(number): 1 for number in range(1000)})

    with pytest.raises(ToolArgumentsError, match="and 991 more") as caught:
        arguments(documented).read(text)
    assert len(str(caught.value)) < 2_000


@given(st.text() | st.binary().map(repr))
def test_any_text_is_either_read_or_refused(text: str) -> None:
    try:
        read = DOCUMENTED.read(text)
    except ToolArgumentsError:
        return
    assert set(read) <= {"query", "limit", "mode", "note"}


@given(
    st.fixed_dictionaries(
        {"query": st.text()},
        optional={
            "limit": st.integers(1, 50),
            "mode": st.sampled_from(["fast", "slow"]),
            "note": st.none() | st.text(),
        },
    )
)
def test_whatever_fits_the_schema_is_read_unchanged(values: dict[str, Any]) -> None:
    jsonschema.validate(values, DOCUMENTED.json_schema)

    assert DOCUMENTED.read(json.dumps(values)) == values
