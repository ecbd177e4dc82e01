"""Verification of signed tokens (RFC 7515, 7519, 8725): signature first, claims afterwards."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from licet.authn.bearer import MAX_TOKEN_BYTES
from licet.authn.claims import principal_of
from licet.authn.issuer import TrustedIssuer
from licet.authn.jws import SignedToken, decode_segment, json_object, parse_token
from licet.authn.keys import ALGORITHMS
from licet.authn.principal import Principal
from licet.authn.refusal import SignatureRefusedError, TokenRefusedError


class JwtVerifier:
    """Verifies the tokens of one trusted issuer. ``now`` gives epoch seconds."""

    def __init__(self, issuer: TrustedIssuer, *, now: Callable[[], float] = time.time) -> None:
        # PyJWT does the cryptography; imported here, so that importing licet stays light.
        from jwt import get_algorithm_by_name

        self._issuer = issuer
        self._now = now
        self._algorithms = {name: get_algorithm_by_name(name) for name in issuer.algorithms}

    def verify(self, token: bytes) -> Principal:
        """Who the token speaks for.

        Raises:
            TokenRefusedError: it does not verify; the message says why.
        """
        # Not every token comes by a header whose length was looked at.
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenRefusedError(f"the token is larger than {MAX_TOKEN_BYTES} bytes")
        signed = parse_token(token)
        self._check_signature(signed)
        payload = decode_segment(signed.payload_segment, "payload")
        return principal_of(
            json_object(payload, "payload"),
            issuer=self._issuer,
            # The signing input alone: one signature can be written in several ways.
            token_digest=hashlib.sha256(signed.signing_input).hexdigest(),
            key_id=signed.key_id,
            now=self._now(),
        )

    def _check_signature(self, signed: SignedToken) -> None:
        algorithm = self._algorithms.get(signed.algorithm)
        if algorithm is None:
            raise TokenRefusedError(self._other_algorithm(signed.algorithm))
        for key in self._issuer.keys:
            if signed.algorithm in key.algorithms and algorithm.verify(
                signed.signing_input, key.material, signed.signature
            ):
                return
        raise SignatureRefusedError("the signature does not match any key")

    def _other_algorithm(self, given: str) -> str:
        # Named only if it is one: what else stands there is a stranger's text.
        named = f"the algorithm {given!r}" if given in ALGORITHMS else "the token's algorithm"
        return f"{named} is not allowed here; allowed: {', '.join(self._issuer.algorithms)}"
