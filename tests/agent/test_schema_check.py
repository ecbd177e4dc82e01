from __future__ import annotations

import time
from typing import Any

import pytest

from licet.agent.output_schema import OutputSchema
from licet.agent.schema_check import schema_problems
from licet.errors import OutputSchemaError

NUMBERS = {"type": "object", "properties": {"n": {"type": "array", "items": {"type": "number"}}}}


def test_a_value_that_fits_has_no_problems() -> None:
    assert schema_problems(NUMBERS, {"n": [1, 2.5]}) == []


def test_problems_name_their_place_and_are_few_and_short() -> None:
    problems = schema_problems(NUMBERS, {"n": ["x" * 1000] * 9})
    assert len(problems) == 5
    assert problems[0].startswith("$.n[0]: 'xxx")
    assert all(len(problem) < 250 for problem in problems)


def test_a_large_answer_is_within_the_limit() -> None:
    row = {"type": "object", "properties": {k: {"enum": [1, 2]} for k in "abcdefghij"}}
    schema = {"type": "object", "properties": {"rows": {"type": "array", "items": row}}}
    rows = [dict.fromkeys("abcdefghij", 1)] * 1000
    assert schema_problems(schema, {"rows": rows}) == []


def test_references_that_double_and_double_again_are_given_up() -> None:
    twice = {
        f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}, {"$ref": f"#/$defs/a{n + 1}"}]}
        for n in range(60)
    }
    schema: dict[str, Any] = {"type": "object", "$ref": "#/$defs/a0", "$defs": {**twice, "a60": {}}}
    started = time.monotonic()
    with pytest.raises(OutputSchemaError, match="more than 50000 steps"):
        OutputSchema.of(schema).read("{}")
    assert time.monotonic() - started < 30
    assert schema_problems(NUMBERS, {"n": []}) == []


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("#", "in circles"), ("#/nowhere", "refers to nothing with '/nowhere'")],
)
def test_references_that_cannot_be_followed(reference: str, expected: str) -> None:
    schema = OutputSchema.of({"type": "object", "$ref": reference})
    with pytest.raises(OutputSchemaError, match=expected):
        schema.read("{}")
