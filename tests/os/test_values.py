from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authn.principal import owner_key
from licet.db.codec import MAX_KEY_BYTES, storable
from licet.errors import InvalidInputError
from licet.os import values


@given(st.text(max_size=300) | st.text("\U0001f600a", max_size=300))
def test_an_id_that_is_taken_fits_every_database(text: str) -> None:
    try:
        values.identifier(text, "field")
    except InvalidInputError:
        return
    owner = owner_key("x" * 64, text)
    assert storable(owner)
    assert len(owner.encode()) <= MAX_KEY_BYTES


@pytest.mark.parametrize("good", ["a", "x" * 255, "ä" * 255, "日" * 233, "a b", "\U0001f600" * 175])
def test_ids_may_be_any_printable_text(good: str) -> None:
    assert values.identifier(good, "field") == good


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ("", "255 printable"),
        ("x" * 256, "255 printable"),
        ("a\tb", "printable"),
        ("a\u202eb", "printable"),
        ("a\0", "NUL"),
        ("\udc00", "surrogates"),
        ("\U0001f600" * 176, "700 bytes"),
        (5, "text"),
        (None, "text"),
    ],
)
def test_other_ids_are_refused_with_a_reason(bad: Any, expected: str) -> None:
    with pytest.raises(InvalidInputError, match=expected) as caught:
        values.identifier(bad, "the_field")
    assert caught.value.field == "the_field"


@pytest.mark.parametrize("word", ["true", "TRUE", "1", "on", "Yes", "t", "y", True])
def test_words_for_true(word: Any) -> None:
    assert values.boolean(word, "field") is True


@pytest.mark.parametrize("word", ["false", "False", "0", "off", "no", "F", "n", False])
def test_words_for_false(word: Any) -> None:
    assert values.boolean(word, "field") is False


@pytest.mark.parametrize("word", ["", "2", "maybe", 1, 0, None, [], 1.0])
def test_other_words_are_refused(word: Any) -> None:
    with pytest.raises(InvalidInputError, match="true or false"):
        values.boolean(word, "field")


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
        st.recursive(st.none() | st.booleans() | st.integers(), lambda v: st.lists(v, max_size=3)),
        max_size=4,
    )
)
def test_an_object_and_its_text_are_the_same(value: dict[str, Any]) -> None:
    assert values.json_object(value, "field") == value
    assert values.json_object(json.dumps(value), "field") == value
    assert values.json_body(json.dumps(value).encode()) == value


def nested(levels: int) -> dict[str, Any]:
    """Objects and lists, one inside the other."""
    value: Any = 1
    for level in range(levels - 1):
        value = [value] if level % 2 else {"a": value}
    return {"a": value}


def test_depth_is_limited() -> None:
    assert values.json_object(nested(64), "field") == nested(64)
    with pytest.raises(InvalidInputError, match="64 levels"):
        values.json_object(nested(65), "field")


def test_size_is_limited() -> None:
    fits = "x" * (256 * 1024 - len('{"a":""}'))
    assert values.json_object({"a": fits}, "field") == {"a": fits}
    assert values.json_object(json.dumps({"a": fits}, separators=(",", ":")), "field")
    for value in ({"a": fits + "x"}, json.dumps({"a": fits + "x"})):
        with pytest.raises(InvalidInputError, match="262144 bytes"):
            values.json_object(value, "field")


@pytest.mark.parametrize("levels", [65, 950, 2000, 50_000])
def test_no_depth_is_too_deep_to_be_refused(levels: int) -> None:
    value = nested(levels)
    with pytest.raises(InvalidInputError, match="64 levels"):
        values.json_object(value, "field")
    inner: Any = value
    while isinstance(inner, dict | list):  # taken apart by hand, not by recursion
        inner = inner.popitem()[1] if isinstance(inner, dict) else inner.pop()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{", "valid JSON"),
        ("[1]", "a JSON object"),
        ("null", "a JSON object"),
        ([], "a JSON object"),
        (None, "a JSON object"),
        ('{"a": NaN}', "valid JSON"),
        ('{"a": 1e999}', "valid JSON"),
        ('{"a": "\\ud800"}', "valid JSON"),
        ("\0", "NUL"),
        ("\ud800", "surrogates"),
        ({"a": ["\0"]}, "NUL"),
        ({"\0": 1}, "NUL"),
        ("[" * 100_000, "valid JSON"),
    ],
)
def test_what_is_no_object_is_refused(value: Any, expected: str) -> None:
    with pytest.raises(InvalidInputError, match=expected):
        values.json_object(value, "field")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"1", b"\xff", b'{"a": "\\ud800"}', b"[" * 100_000]
)
def test_a_body_has_to_be_an_object(body: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        values.json_body(body)
    assert caught.value.field == "body"


def test_only_declared_keys_are_taken() -> None:
    declared = {"a": 1, "b": 2}
    assert values.declared_only({"a": 5}, declared, "field") == {"a": 5}
    with pytest.raises(InvalidInputError, match=r"declares \(a, b\), not 'c'"):
        values.declared_only({"a": 5, "d": 1, "c": 2}, declared, "field")
    with pytest.raises(InvalidInputError, match=r"declares \(none\)"):
        values.declared_only({"a": 5}, {}, "field")
