from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from licet.authn.issuer import TrustedIssuer
from licet.authn.jws import SignedToken, parse_token
from licet.authn.key_set import KeySet
from licet.authn.key_source import StaticKeys
from licet.authn.keys import VerificationKey
from licet.authn.refusal import (
    KeyNotFoundError,
    KeysUnavailableError,
    SignatureRefusedError,
    TokenRefusedError,
)
from licet.authn.signature import check_signature
from licet.testing.tokens import TokenFactory
from tests.authn.parts import factory, issuer_of, keys_of

ONE, TWO = (factory(fresh_key=True, key_id=name) for name in ("one", "two"))
UNNAMED = factory(fresh_key=True)
INCOMPLETE = KeySet(incomplete=True)


def signed(tokens: TokenFactory, **headers: Any) -> SignedToken:
    claims = tokens.claims("alice")
    return parse_token(tokens.sign(claims, headers=headers).encode())


def check(
    token: SignedToken, keys: KeySet, *, issuer: TrustedIssuer | None = None
) -> VerificationKey:
    return check_signature(
        token, issuer=issuer or issuer_of(ONE), key_set=keys, source=StaticKeys(keys)
    )


def test_the_key_of_the_name_that_the_token_says_verifies_it() -> None:
    for tokens in (ONE, TWO):
        assert check(signed(tokens), keys_of(ONE, TWO)).key_id == tokens.key_id


def test_a_key_of_another_name_is_not_even_tried() -> None:
    with pytest.raises(SignatureRefusedError, match="the key that the token names") as refused:
        check(signed(ONE, kid="two"), keys_of(ONE, TWO))
    # It would not help to ask for keys anew: the one that is named is here.
    assert not isinstance(refused.value, KeyNotFoundError)
    assert refused.value.code == "token_signature"


def test_a_named_key_that_is_not_here_may_be_had_from_the_source() -> None:
    keys = keys_of(ONE)
    source = StaticKeys(keys)
    with pytest.raises(KeyNotFoundError, match="does not match any key") as refused:
        check_signature(signed(TWO), issuer=issuer_of(ONE), key_set=keys, source=source)
    assert refused.value.source is source
    assert refused.value.key_set is keys
    assert type(refused.value) is KeyNotFoundError


@pytest.mark.parametrize("key_id", [None, "one", "unknown"])
def test_keys_without_a_name_are_tried_where_none_of_that_name_is_here(
    key_id: str | None,
) -> None:
    found = check(signed(UNNAMED, kid=key_id), keys_of(UNNAMED, TWO))
    assert not found.named


def test_a_token_that_names_no_key_is_checked_with_the_only_one() -> None:
    assert check(signed(ONE, kid=None), keys_of(ONE)).key_id == "one"
    with pytest.raises(KeyNotFoundError):
        check(signed(ONE, kid=None), keys_of(ONE, TWO))


@pytest.mark.parametrize("token", [signed(TWO), signed(UNNAMED)])
def test_where_keys_could_not_be_read_nobody_can_say(token: SignedToken) -> None:
    keys = replace(keys_of(ONE), incomplete=True)
    with pytest.raises(KeysUnavailableError, match="cannot be read at present"):
        check(token, keys)


def test_keys_that_are_here_count_also_where_others_could_not_be_read() -> None:
    keys = replace(keys_of(ONE), incomplete=True)
    assert check(signed(ONE), keys).key_id == "one"
    with pytest.raises(SignatureRefusedError, match="the key that the token names") as refused:
        check(signed(TWO, kid="one"), keys)
    assert not isinstance(refused.value, KeysUnavailableError)


def test_an_algorithm_that_is_not_the_issuers_is_refused_whatever_its_keys_could() -> None:
    curve = factory("ES256", key_id="curve")
    with pytest.raises(TokenRefusedError, match="'ES256' is not allowed here; allowed: RS256"):
        check(signed(curve), keys_of(ONE, curve))
    with pytest.raises(TokenRefusedError, match="the token's algorithm is not allowed"):
        check(signed(ONE, alg="none"), INCOMPLETE)


def test_a_key_serves_the_algorithm_that_it_was_published_for() -> None:
    issuer = issuer_of(ONE, algorithms=["RS256", "PS256"])
    probabilistic = factory("PS256", private_key=ONE.private_key, key_id="one")
    assert check(signed(ONE), keys_of(ONE), issuer=issuer).key_id == "one"
    with pytest.raises(SignatureRefusedError, match="the key that the token names"):
        check(signed(probabilistic), keys_of(ONE), issuer=issuer)
    both = keys_of(ONE, probabilistic)
    assert check(signed(probabilistic), both, issuer=issuer).algorithms == {"PS256"}


def test_of_two_keys_of_one_name_either_may_have_signed() -> None:
    twin = factory(fresh_key=True, key_id="one")
    keys = keys_of(ONE, twin)
    assert check(signed(ONE), keys) != check(signed(twin), keys)
