"""Verification of signed tokens (RFC 7515, 7519, 8725): signature first, claims afterwards."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from licet.authn.bearer import MAX_TOKEN_BYTES
from licet.authn.claims import principal_of
from licet.authn.issuer import TrustedIssuer
from licet.authn.jws import SignedToken, decode_segment, json_object, parse_token
from licet.authn.key_set import KeySet
from licet.authn.key_source import KeySource
from licet.authn.principal import Principal
from licet.authn.refusal import TokenRefusedError
from licet.authn.signature import check_signature


@dataclass(frozen=True, slots=True)
class Verified:
    """A principal, and the keys that it was verified with."""

    principal: Principal
    key_set: KeySet
    source: KeySource

    @property
    def keys_are_current(self) -> bool:
        """Whether the keys are still those. If not, the one that counted may be gone."""
        return self.source.current() is self.key_set


class TokenVerifier(Protocol):
    """Turns the text of a token into a principal."""

    def verify(self, token: bytes) -> Verified:
        """Who the token speaks for.

        Raises:
            TokenRefusedError: it does not verify; the message says why.
        """


class JwtVerifier:
    """Verifies the tokens of one trusted issuer. ``now`` gives epoch seconds."""

    def __init__(
        self, issuer: TrustedIssuer, source: KeySource, *, now: Callable[[], float] = time.time
    ) -> None:
        self.issuer = issuer
        self._source = source
        self._now = now

    def verify(self, token: bytes) -> Verified:
        """Who the token speaks for.

        Raises:
            TokenRefusedError: it does not verify; the message says why.
        """
        return self.verify_signed(_taken_apart(token))

    def verify_signed(
        self, signed: SignedToken, claims: Mapping[str, Any] | None = None
    ) -> Verified:
        """The same of a token that was taken apart; ``claims``, where they were read already.

        Raises:
            TokenRefusedError: it does not verify; the message says why.
        """
        key_set = self._source.current()
        key = check_signature(signed, issuer=self.issuer, key_set=key_set, source=self._source)
        principal = principal_of(
            _claims(signed) if claims is None else claims,
            issuer=self.issuer,
            # The signing input alone: one signature can be written in several ways.
            token_digest=hashlib.sha256(signed.signing_input).hexdigest(),
            key_id=key.key_id,
            now=self._now(),
        )
        return Verified(principal, key_set, self._source)


class IssuersVerifier:
    """Verifies the tokens of several issuers: each by the rules of the one that it names.

    What a token says of its issuer is only believed so far as to choose whose keys are tried.
    """

    def __init__(self, verifiers: Sequence[JwtVerifier]) -> None:
        self._by_name = {verifier.issuer.issuer: verifier for verifier in verifiers}

    def verify(self, token: bytes) -> Verified:
        """Who the token speaks for.

        Raises:
            TokenRefusedError: it does not verify, or is of an issuer that is not trusted.
        """
        signed = _taken_apart(token)
        claims = _claims(signed)
        named = claims.get("iss")
        if not isinstance(named, str) or named not in self._by_name:
            raise TokenRefusedError("the token is from an issuer that is not trusted (iss)")
        return self._by_name[named].verify_signed(signed, claims)


def _taken_apart(token: bytes) -> SignedToken:
    # Not every token comes by a header whose length was looked at.
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenRefusedError(f"the token is larger than {MAX_TOKEN_BYTES} bytes")
    return parse_token(token)


def _claims(signed: SignedToken) -> Mapping[str, Any]:
    return json_object(decode_segment(signed.payload_segment, "payload"), "payload")
