from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from licet.authn.key_set import KeySet, merged
from licet.authn.keys import VerificationKey


def key(name: str, *algorithms: str, named: bool = True, identity: str = "") -> VerificationKey:
    return VerificationKey(
        None,
        frozenset(algorithms or ("RS256",)),
        name,
        identity=(identity or name).encode(),
        named=named,
    )


A, B = key("a"), key("b")
EC = key("a", "ES256", identity="ec")
PEM, OTHER_PEM = key("pem-1", named=False), key("pem-2", named=False)


@pytest.mark.parametrize(
    ("keys", "algorithm", "key_id", "found"),
    [
        ((A, B), "RS256", "a", (A,)),
        ((A, B), "RS256", "c", ()),
        ((A, B), "RS256", None, ()),
        ((A,), "RS256", None, (A,)),
        ((A,), "ES256", "a", ()),
        ((A, EC), "ES256", "a", (EC,)),
        ((A, EC), "RS256", None, (A,)),
        ((A, PEM), "RS256", "a", (A,)),
        ((A, PEM), "ES256", "a", ()),
        ((A, PEM), "RS256", "whatever", (PEM,)),
        ((A, PEM), "RS256", None, (PEM,)),
        ((A, PEM), "RS256", "pem-1", (PEM,)),
        ((PEM, OTHER_PEM), "RS256", None, (PEM, OTHER_PEM)),
        ((), "RS256", None, ()),
    ],
)
def test_which_keys_may_have_made_a_signature(
    keys: tuple[VerificationKey, ...],
    algorithm: str,
    key_id: str | None,
    found: tuple[VerificationKey, ...],
) -> None:
    assert KeySet(keys).candidates(algorithm, key_id) == found


def test_two_keys_of_one_name_are_both_tried() -> None:
    twin = key("a", identity="twin")
    assert KeySet((A, twin)).candidates("RS256", "a") == (A, twin)


def test_only_named_keys_have_a_name() -> None:
    assert KeySet((A, PEM)).has("a")
    assert not KeySet((A, PEM)).has("pem-1")


keys = st.builds(
    key,
    st.sampled_from("abcd"),
    st.sampled_from(["RS256", "ES256", "EdDSA"]),
    named=st.booleans(),
    identity=st.sampled_from("wxyz"),
)
sets = st.builds(KeySet, st.lists(keys, max_size=4).map(tuple), incomplete=st.booleans())


@given(st.lists(sets, max_size=4))
def test_a_merge_holds_every_key_once_and_no_other(parts: list[KeySet]) -> None:
    whole = merged(parts)
    assert set(whole.keys) == {key for part in parts for key in part.keys}
    assert len(set(whole.keys)) == len(whole.keys)
    assert whole.incomplete is any(part.incomplete for part in parts)
    assert merged([whole, *parts, whole]).keys == whole.keys
    assert merged([whole]) == whole


@given(
    st.lists(sets, max_size=4),
    st.sampled_from(["RS256", "ES256", "EdDSA"]),
    st.one_of(st.none(), st.sampled_from("abcde")),
)
def test_a_candidate_is_always_a_key_of_the_algorithm(
    parts: list[KeySet], algorithm: str, key_id: str | None
) -> None:
    whole = merged(parts)
    for found in whole.candidates(algorithm, key_id):
        assert found in whole.keys
        assert algorithm in found.algorithms
        assert key_id is None or not found.named or found.key_id == key_id
