"""An auth server, a clock, and what a verifier says."""

from __future__ import annotations

from typing import Any

import pytest

from licet.authn.bearer import TokenVerifier
from licet.authn.issuer import TrustedIssuer
from licet.authn.jwt import JwtVerifier
from licet.authn.principal import Principal
from licet.authn.refusal import TokenRefusedError
from licet.testing.tokens import TokenFactory

NOW = 1_800_000_000


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def factory(algorithm: str = "RS256", **given: Any) -> TokenFactory:
    """An auth server of the year 2027."""
    return TokenFactory(algorithm, now=Clock(), **given)


def verifier(tokens: TokenFactory, *, now: float = NOW, **rules: Any) -> JwtVerifier:
    """A verifier that trusts it."""
    rules = {
        "verification_keys": [tokens.public_key],
        "algorithms": [tokens.algorithm],
        "audiences": ["os"],
        **rules,
    }
    return JwtVerifier(TrustedIssuer(**rules), now=Clock(now))


def verified(token: str, trusted: TokenVerifier) -> Principal:
    """Who a token that is taken speaks for."""
    return trusted.verify(token.encode())


def refusal(token: str | bytes, trusted: TokenVerifier) -> TokenRefusedError:
    """Why a token is not taken; its own text is not in the reason."""
    data = token.encode() if isinstance(token, str) else token
    with pytest.raises(TokenRefusedError) as refused:
        trusted.verify(data)
    for segment in data.split(b"."):
        assert len(segment) < 8 or segment.decode("latin-1") not in str(refused.value)
    return refused.value
