"""Whose signature it is: a token's signature, checked with the keys that may have made it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from licet.authn.issuer import TrustedIssuer
from licet.authn.jws import SignedToken
from licet.authn.key_set import KeySet
from licet.authn.key_source import KeySource
from licet.authn.keys import ALGORITHMS, VerificationKey
from licet.authn.refusal import (
    KeyNotFoundError,
    KeysUnavailableError,
    SignatureRefusedError,
    TokenRefusedError,
)

if TYPE_CHECKING:
    from jwt.algorithms import Algorithm


def check_signature(
    signed: SignedToken, *, issuer: TrustedIssuer, key_set: KeySet, source: KeySource
) -> VerificationKey:
    """The key that made the signature. ``source`` is where ``key_set`` comes from.

    Raises:
        KeyNotFoundError: the key is not known; the source may know it when it is asked anew.
        KeysUnavailableError: the same, and the source has not all of its keys.
        SignatureRefusedError: the key that the token names did not make it.
        TokenRefusedError: the algorithm is not one of the issuer's.
    """
    if signed.algorithm not in issuer.allowed_algorithms:
        raise TokenRefusedError(_other_algorithm(signed.algorithm, issuer))
    algorithm = _implementation(signed.algorithm)
    for key in key_set.candidates(signed.algorithm, signed.key_id):
        if algorithm.verify(signed.signing_input, key.material, signed.signature):
            return key
    if signed.key_id is not None and key_set.has(signed.key_id):
        raise SignatureRefusedError("the signature does not match the key that the token names")
    if key_set.incomplete:
        raise KeysUnavailableError(
            "the issuer's keys cannot be read at present", source=source, key_set=key_set
        )
    raise KeyNotFoundError("the signature does not match any key", source=source, key_set=key_set)


@cache
def _implementation(algorithm: str) -> Algorithm:
    # PyJWT does the cryptography; imported here, so that importing licet stays light.
    from jwt import get_algorithm_by_name

    return get_algorithm_by_name(algorithm)


def _other_algorithm(given: str, issuer: TrustedIssuer) -> str:
    # Named only if it is one: what else stands there is a stranger's text.
    named = f"the algorithm {given!r}" if given in ALGORITHMS else "the token's algorithm"
    return f"{named} is not allowed here; allowed: {', '.join(issuer.allowed_algorithms)}"
