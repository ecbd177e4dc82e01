"""Tokens that nobody verifies: for trying things out on one's own machine, and nowhere else."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable

from licet.authn.bearer import MAX_TOKEN_BYTES
from licet.authn.claims import principal_of
from licet.authn.issuer import TrustedIssuer
from licet.authn.jws import decode_segment, json_object, parse_token
from licet.authn.jwt import Verified
from licet.authn.key_source import StaticKeys
from licet.authn.refusal import TokenRefusedError

KEY_ID = "unverified"


def throwaway_secret() -> str:
    """A key for an issuer that has none: it verifies nothing, and nobody knows it."""
    return secrets.token_urlsafe(32)


class UnverifiedTokens:
    """Reads tokens without looking at their signature. ``now`` gives epoch seconds.

    Form, dates, issuer, audience and the rest are looked at as ever. Whoever puts this into a
    chain lets nobody but this machine come near it.
    """

    def __init__(self, issuer: TrustedIssuer, *, now: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._source = StaticKeys(issuer.keys)
        self._now = now

    def verify(self, token: bytes) -> Verified:
        """Who the token says that it speaks for.

        Raises:
            TokenRefusedError: it is not well-formed, or its claims do not hold.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenRefusedError(f"the token is larger than {MAX_TOKEN_BYTES} bytes")
        parsed = parse_token(token)
        principal = principal_of(
            json_object(decode_segment(parsed.payload_segment, "payload"), "payload"),
            issuer=self._issuer,
            token_digest=hashlib.sha256(parsed.signing_input).hexdigest(),
            key_id=KEY_ID,
            now=self._now(),
        )
        return Verified(principal, self._issuer.keys, self._source)
