from __future__ import annotations

from typing import Any

import pytest

from licet.authn.bearer import MAX_TOKEN_BYTES
from licet.authn.issuer import TrustedIssuer
from licet.authn.refusal import TokenRefusedError
from licet.authn.unverified import KEY_ID, UnverifiedTokens, throwaway_secret
from licet.testing import TokenFactory

STRANGER = TokenFactory(fresh_key=True)


@pytest.fixture
def tokens() -> UnverifiedTokens:
    issuer = TrustedIssuer(verification_keys=[throwaway_secret()], algorithm="HS256", audience="os")
    return UnverifiedTokens(issuer)


def test_whoever_signed_it_the_token_says_who_it_is(tokens: UnverifiedTokens) -> None:
    verified = tokens.verify(STRANGER.token("alice").encode())
    assert (verified.principal.subject, verified.principal.key_id) == ("alice", KEY_ID)
    assert verified.keys_are_current


@pytest.mark.parametrize("claims", [{"exp": 1}, {"aud": "another"}, {"sub": None}])
def test_its_claims_have_to_hold(tokens: UnverifiedTokens, claims: dict[str, Any]) -> None:
    with pytest.raises(TokenRefusedError):
        tokens.verify(STRANGER.token("alice", **claims).encode())


def test_it_has_a_size(tokens: UnverifiedTokens) -> None:
    with pytest.raises(TokenRefusedError, match="larger"):
        tokens.verify(b"a" * (MAX_TOKEN_BYTES + 1))


def test_no_two_throwaway_secrets_are_the_same() -> None:
    assert throwaway_secret() != throwaway_secret()
