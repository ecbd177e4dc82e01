from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authn.frozen import MAX_DEPTH, TooDeepError, frozen, thawed

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=12,
)


def changeable(value: Any) -> bool:
    """Whether something in it can be changed."""
    if isinstance(value, MappingProxyType):
        return any(changeable(item) for item in value.values())
    if isinstance(value, tuple):
        return any(changeable(item) for item in value)
    return isinstance(value, dict | list)


@given(json_values)
def test_nothing_in_it_can_be_changed_and_thawed_it_is_what_it_was(value: Any) -> None:
    assert not changeable(frozen(value))
    assert thawed(frozen(value)) == value
    assert json.loads(json.dumps(thawed(frozen(value)))) == value


def test_it_is_a_copy_and_so_is_what_was_thawed() -> None:
    value = {"a": [{"b": 1}]}
    kept = frozen(value)
    value["a"].append({"b": 2})
    assert kept["a"] == ({"b": 1},)
    thawed(kept)["a"].append({"b": 3})
    assert kept["a"] == ({"b": 1},)


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_the_depth_has_a_limit(wrap: Any) -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH):
        value = wrap(value)
    assert thawed(frozen(value)) == value
    with pytest.raises(TooDeepError):
        frozen(wrap(value))
