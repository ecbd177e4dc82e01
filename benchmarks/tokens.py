"""What verifying a token costs, beside PyJWT's own ``jwt.decode`` with the same checks.

The tokens are distinct, so that nothing is answered from memory, and were signed beforehand. Both
sides verify all of them in turn, A B A B, in one process; the last line is the median of the
rounds' ratios.
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
from licet.authn.jwt import JwtVerifier
from licet.authn.key_source import StaticKeys
from licet.authn.keys import ALGORITHMS, HMAC_ALGORITHMS
from licet.testing import TokenFactory

ISSUER, AUDIENCE = "https://id.example", "bench-os"
LEEWAY_SECONDS = 10
CACHED_TOKENS = 4096
TARGET = 1.5


@dataclass(frozen=True, slots=True)
class Costs:
    """What a token costs on either side, in microseconds: the median over the rounds."""

    own_us: float
    peer_us: float
    ratio: float


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


def own_verifier(factory: TokenFactory, *, max_tokens: int = CACHED_TOKENS) -> CachingVerifier:
    """Ours, as the server has it; nothing is remembered yet."""
    issuer = TrustedIssuer(
        verification_keys=[factory.public_key],
        algorithm=factory.algorithm,
        issuer=ISSUER,
        audience=AUDIENCE,
        verify_audience=True,
        required_claims=["jti"],
        leeway_seconds=LEEWAY_SECONDS,
    )
    return CachingVerifier(JwtVerifier(issuer, StaticKeys(issuer.keys)), max_tokens=max_tokens)


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
    """Verify all tokens on both sides in turn."""
    peer = peer_verify(factory)
    owns, peers = [], []
    for _ in range(rounds):
        cache = own_verifier(factory)
        owns.append(cost_us(cache.verify, tokens))
        peers.append(cost_us(peer, tokens))
        assert len(cache) == min(len(tokens), CACHED_TOKENS), len(cache)
    # Each round ran both sides, one after the other: noise of the machine falls on both.
    ratios = [own / peer for own, peer in zip(owns, peers, strict=True)]
    return Costs(statistics.median(owns), statistics.median(peers), statistics.median(ratios))


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
    print(f"{'jwt.decode':24}{costs.peer_us:10.1f} us a token")
    print(f"{'licet, remembered':24}{cost_us(cache.verify, tokens):10.1f} us a token")
    print(f"{'ratio':24}{costs.ratio:10.2f} x (at most {TARGET} x is wanted)")
    assert costs.ratio <= TARGET, costs.ratio


if __name__ == "__main__":
    main()
