from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from licet.tools.text import ajoined, as_text, bounded, joined


class Model(BaseModel):
    a: int = 1


@dataclass
class Data:
    a: int = 1


class Record(msgspec.Struct):
    a: int = 1


class Odd:
    def __str__(self) -> str:
        return "odd one"


class Shade(str, Enum):  # noqa: UP042 - the older spelling, whose str() is not its value
    DARK = "dark"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ("", ""),
        (None, ""),
        (Shade.DARK, "dark"),
        (b"caf\xc3\xa9", "café"),
        (b"\xff", "\ufffd"),
        (3, "3"),
        (True, "True"),
        (Model(), '{"a":1}'),
        (Data(), '{"a":1}'),
        (Record(), '{"a":1}'),
        ({"ä": [Model(), Data(), Record(), None]}, '{"ä":[{"a":1},{"a":1},{"a":1},null]}'),
        ([1, "a"], '[1,"a"]'),
        ((1, 2), "[1,2]"),
        ({1}, "[1]"),
        ({"nan": float("nan")}, '{"nan":null}'),
        ({"at": datetime(2026, 1, 2, tzinfo=UTC)}, '{"at":"2026-01-02T00:00:00Z"}'),
        ({"odd": Odd()}, '{"odd":"odd one"}'),
    ],
)
def test_values_become_text(value: Any, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    "value",
    ["a\ud800b", {"k": "a\ud800b"}, ["a\ud800b"], {"a\ud800b": 1}, {"d": Data(), "s": "a\ud800b"}],
)
def test_lone_surrogates_are_replaced(value: Any) -> None:
    text = as_text(value)

    assert "a\ufffdb" in text
    text.encode()


def test_surrogate_pairs_are_joined() -> None:
    assert as_text("\ud83d\ude00") == "😀"


def test_nul_is_replaced() -> None:
    assert as_text("a\x00b") == "a\ufffdb"


def test_a_structure_that_contains_itself_still_gives_text() -> None:
    loop: list[Any] = [1]
    loop.append(loop)

    assert as_text(loop) == "[1, [...]]"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None)),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
    )
)
def test_text_can_always_be_stored_and_structures_are_json(value: Any) -> None:
    text = as_text(value)

    text.encode()
    assert "\x00" not in text
    if isinstance(value, dict | list):
        assert type(json.loads(text)) is type(value)


def counted(limit: int) -> Iterator[str]:
    for number in range(10**9):
        assert number <= limit, "read on although there was enough"
        yield "x"


def test_items_are_joined() -> None:
    assert joined(iter(["a", 1, None, {"b": 2}]), max_chars=100) == 'a1{"b":2}'


def test_an_endless_iterator_is_read_only_as_far_as_needed() -> None:
    assert joined(counted(10), max_chars=10) == "x" * 11


async def test_an_endless_async_iterator_is_read_only_as_far_as_needed() -> None:
    async def items() -> AsyncIterator[str]:
        for each in counted(10):
            yield each

    assert await ajoined(items(), max_chars=10) == "x" * 11


def test_a_long_text_is_cut_with_a_note() -> None:
    assert bounded("abc", max_chars=3) == "abc"
    assert bounded("abcd", max_chars=3) == "abc\n[cut after 3 characters]"
