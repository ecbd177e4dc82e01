"""What verifying a token costs, beside PyJWT's own ``jwt.decode`` with the same checks.

The tokens are distinct, so that nothing is answered from memory, and were signed beforehand. All
sides verify all of them in turn in one process: ours with one trusted issuer, ours with two, and
PyJWT.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from benchmarks.finding import OURS, Finding, Must, in_turn
from benchmarks.stage import Conditions
from licet.authn.cache import CachingVerifier
from licet.authn.issuer import TrustedIssuer
from licet.authn.jwt import IssuersVerifier, JwtVerifier
from licet.authn.key_source import StaticKeys
from licet.testing import TokenFactory

ISSUER, AUDIENCE = "https://id.example", "bench-os"
LEEWAY_SECONDS = 10
CACHED_TOKENS = 4096
COUNT = 10_000
PYJWT, TWO, REMEMBERED = "jwt.decode", "two issuers", "remembered"
TARGET = Must(beside=PYJWT, at_most=1.5)


def measure(conditions: Conditions) -> Sequence[Finding]:
    """Microseconds a token."""
    factory = TokenFactory()
    tokens = signed_tokens(factory, conditions.scaled(COUNT, least=300))
    return compared(factory, tokens, rounds=conditions.rounds)


def compared(factory: TokenFactory, tokens: Sequence[bytes], *, rounds: int) -> list[Finding]:
    """Verify all tokens on all sides in turn; with one trusted issuer, and with two."""
    verifies = {
        OURS: lambda: _cost_of_ours_us(factory, tokens, issuers=1),
        TWO: lambda: _cost_of_ours_us(factory, tokens, issuers=2),
        PYJWT: lambda: cost_us(peer_verify(factory), tokens),
        REMEMBERED: lambda: _cost_of_remembered_us(factory, tokens),
    }
    found = in_turn(verifies, rounds=rounds)
    what = f"distinct tokens, {factory.algorithm}"
    return [
        *(
            Finding(
                what=f"{what}, {issuers}",
                unit="µs each",
                figures={OURS: found[ours], PYJWT: found[PYJWT]},
                musts=(TARGET,),
            )
            for issuers, ours in (("one issuer", OURS), ("two issuers", TWO))
        ),
        Finding(what="remembered tokens", unit="µs each", figures={OURS: found[REMEMBERED]}),
    ]


def signed_tokens(factory: TokenFactory, count: int) -> list[bytes]:
    """Distinct tokens, as an auth server gives them."""
    return [
        factory.token(
            f"user-{number}",
            scopes=["agents:read", "agents:run", "sessions:read"],
            iss=ISSUER,
            aud=AUDIENCE,
            jti=f"token-{number}",
            email=f"user-{number}@example.org",
        ).encode()
        for number in range(count)
    ]


def own_verifier(
    factory: TokenFactory, *, max_tokens: int = CACHED_TOKENS, issuers: int = 1
) -> CachingVerifier:
    """Ours, as the server has it; nothing is remembered yet. The tokens are of the first issuer."""
    verifiers = []
    for number in range(issuers):
        issuer = TrustedIssuer(
            alias=f"issuer-{number}",
            verification_keys=[factory.public_key],
            algorithm=factory.algorithm,
            issuer=ISSUER if number == 0 else f"{ISSUER}/{number}",
            audience=AUDIENCE,
            verify_audience=True,
            required_claims=["jti"],
            leeway_seconds=LEEWAY_SECONDS,
        )
        verifiers.append(JwtVerifier(issuer, StaticKeys(issuer.keys)))
    verifier = verifiers[0] if issuers == 1 else IssuersVerifier(verifiers)
    return CachingVerifier(verifier, max_tokens=max_tokens)


def peer_verify(factory: TokenFactory) -> Callable[[bytes], object]:
    """``jwt.decode`` with a key that was read once, and the same checks."""
    key = load_pem_public_key(factory.public_key.encode())

    def verify(token: bytes) -> object:
        return jwt.decode(
            token,
            key,  # type: ignore[arg-type] # of one of the types that it takes; which, is not told
            algorithms=[factory.algorithm],
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "sub", "aud", "iss", "jti"]},
        )

    return verify


def cost_us(verify: Callable[[bytes], object], tokens: Sequence[bytes]) -> float:
    """Microseconds of this thread's work a token: nobody waits here but for others on the machine.

    What one side leaves to collect is not paid by the next.
    """
    gc.collect()
    began = time.thread_time()
    for token in tokens:
        verify(token)
    gc.collect(0)
    return (time.thread_time() - began) / len(tokens) * 1e6


def _cost_of_ours_us(factory: TokenFactory, tokens: Sequence[bytes], *, issuers: int) -> float:
    cache = own_verifier(factory, issuers=issuers)
    cost = cost_us(cache.verify, tokens)
    assert len(cache) == min(len(tokens), CACHED_TOKENS), len(cache)
    return cost


def _cost_of_remembered_us(factory: TokenFactory, tokens: Sequence[bytes]) -> float:
    cache = own_verifier(factory, max_tokens=len(tokens))
    for token in tokens:
        cache.verify(token)
    return cost_us(cache.verify, tokens)
