"""The bearer token of a request (RFC 6750 §2.1), and who verifies it."""

from __future__ import annotations

import re
from typing import Protocol

from licet.authn.base import (
    Authenticated,
    Authentication,
    BadCredentials,
    Credentials,
    NoCredentials,
)
from licet.authn.principal import Principal
from licet.authn.refusal import HeaderRefusedError, TokenRefusedError

MAX_TOKEN_BYTES = 16 * 1024

# RFC 9110 §11.4: scheme, one or more spaces, token68.
_BEARER = re.compile(rb"(?i:bearer) +([A-Za-z0-9\-._~+/]+=*)")


class TokenVerifier(Protocol):
    """Turns the text of a token into a principal."""

    def verify(self, token: bytes) -> Principal:
        """Who the token speaks for.

        Raises:
            TokenRefusedError: it does not verify.
        """


class BearerAuthenticator:
    """Takes ``Authorization: Bearer <token>``, and nothing else, to a verifier."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    def authenticate(self, credentials: Credentials) -> Authentication:
        """Who presents the token."""
        if not credentials.authorization:
            return NoCredentials()
        try:
            principal = self._verifier.verify(bearer_token(credentials))
        except TokenRefusedError as refused:
            return BadCredentials(str(refused), refused.code)
        return Authenticated(principal)


def bearer_token(credentials: Credentials) -> bytes:
    """The token of the one Authorization header.

    Raises:
        HeaderRefusedError: several headers, another scheme, no token, or one that is too large.
    """
    if len(credentials.authorization) != 1:
        raise HeaderRefusedError("more than one Authorization header")
    (value,) = credentials.authorization
    if len(value) > MAX_TOKEN_BYTES:
        raise HeaderRefusedError(f"the token is larger than {MAX_TOKEN_BYTES} bytes")
    match = _BEARER.fullmatch(value.strip(b" \t"))
    if match is None:
        # Nothing of the header is named: without a scheme its first word is the token.
        raise HeaderRefusedError(
            "the Authorization header is not of the form 'Bearer <token>'; no other scheme is taken"
        )
    return match[1]
