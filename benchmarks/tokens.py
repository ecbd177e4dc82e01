"""What verifying a token costs, beside PyJWT's own ``jwt.decode`` with the same checks.

The tokens are distinct, so that nothing is answered from memory, and were signed beforehand. All
sides verify all of them in turn, A B C A B C, in one process: ours with one trusted issuer, ours
with two, and PyJWT. A ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from licet.authn.cache import CachingVerifier
from licet.authn.issuer import TrustedIssuer
from licet.authn.jwt import IssuersVerifier, JwtVerifier
from licet.authn.key_source import StaticKeys
from licet.authn.keys import ALGORITHMS, HMAC_ALGORITHMS
from licet.testing import TokenFactory

ISSUER, AUDIENCE = "https://id.example", "bench-os"
LEEWAY_SECONDS = 10
CACHED_TOKENS = 4096
TARGET = 1.5


@dataclass(frozen=True, slots=True)
class Costs:
    """What a token costs on each side, in microseconds: the median over the rounds.

    ``two_us`` and ``two_ratio`` are with two trusted issuers.
    """

    own_us: float
    two_us: float
    peer_us: float
    ratio: float
    two_ratio: float


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
    """Microseconds a token. What one side leaves to collect is not paid by the next."""
    gc.collect()
    began = time.perf_counter()
    for token in tokens:
        verify(token)
    gc.collect(0)
    return (time.perf_counter() - began) / len(tokens) * 1e6


def measure(factory: TokenFactory, tokens: Sequence[bytes], *, rounds: int) -> Costs:
    """Verify all tokens on all sides in turn."""
    peer = peer_verify(factory)
    owns: list[float] = []
    twos: list[float] = []
    peers: list[float] = []
    for _ in range(rounds):
        for issuers, found in ((1, owns), (2, twos)):
            cache = own_verifier(factory, issuers=issuers)
            found.append(cost_us(cache.verify, tokens))
            assert len(cache) == min(len(tokens), CACHED_TOKENS), len(cache)
        peers.append(cost_us(peer, tokens))
    median = statistics.median
    return Costs(
        median(owns), median(twos), median(peers), _ratio(owns, peers), _ratio(twos, peers)
    )


def _ratio(owns: Sequence[float], peers: Sequence[float]) -> float:
    # Each round ran all sides, one after the other: noise of the machine falls on all.
    return statistics.median(own / peer for own, peer in zip(owns, peers, strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=10_000, help="how many, all distinct")
    parser.add_argument("--rounds", type=int, default=5, help="A B A B …")
    parser.add_argument(
        "--algorithm", default="RS256", choices=sorted(ALGORITHMS - HMAC_ALGORITHMS)
    )
    chosen = parser.parse_args()
    factory = TokenFactory(chosen.algorithm)
    tokens = signed_tokens(factory, chosen.tokens)
    costs = measure(factory, tokens, rounds=chosen.rounds)
    cache = own_verifier(factory, max_tokens=len(tokens))
    for token in tokens:
        cache.verify(token)
    print(f"{chosen.algorithm}, {len(tokens)} distinct tokens, median of {chosen.rounds}")
    print(f"{'licet':24}{costs.own_us:10.1f} us a token")
    print(f"{'licet, two issuers':24}{costs.two_us:10.1f} us a token")
    print(f"{'jwt.decode':24}{costs.peer_us:10.1f} us a token")
    print(f"{'licet, remembered':24}{cost_us(cache.verify, tokens):10.1f} us a token")
    print(f"{'ratio':24}{costs.ratio:10.2f} x (at most {TARGET} x is wanted)")
    print(f"{'ratio, two issuers':24}{costs.two_ratio:10.2f} x (at most {TARGET} x is wanted)")
    assert max(costs.ratio, costs.two_ratio) <= TARGET, costs


if __name__ == "__main__":
    main()
