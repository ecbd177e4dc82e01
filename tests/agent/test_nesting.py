from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.agent.nesting import deeper_than, members

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
)


def depth(value: Any) -> int:
    """The same by recursion."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES, st.integers(0, 6))
def test_depth_counts_objects_and_lists(value: Any, levels: int) -> None:
    assert deeper_than(value, levels) is (depth(value) > levels)


def test_no_depth_is_too_deep_to_be_found_out() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    assert deeper_than(value, 64)
    assert deeper_than(value, 100_000)
    assert not deeper_than(value, 100_001)
    assert list(members(value)) == []
    while value:  # taken apart by hand: the interpreter would do it by recursion
        value = value.pop()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, []),
        ([], []),
        ({"a": 1}, [("a", 1)]),
        ([{"a": {"b": 2}}, [{"c": 3}]], [("a", {"b": 2}), ("b", 2), ("c", 3)]),
    ],
)
def test_members_of_all_levels(value: Any, expected: list[tuple[str, Any]]) -> None:
    assert sorted(members(value), key=lambda pair: pair[0]) == expected
