"""The bearer token of a request (RFC 6750 §2.1)."""

from __future__ import annotations

import re
import string
from typing import Protocol

from licet.authn.base import Authentication, BadCredentials, Credentials, NoCredentials
from licet.authn.refusal import HeaderRefusedError

MAX_TOKEN_BYTES = 16 * 1024

# RFC 9110 §11.4: scheme, one or more spaces, token68.
_scheme = re.compile(rb"(?i:bearer) +").match
_TOKEN_CHARS = string.ascii_letters.encode() + string.digits.encode() + b"-._~+/"


class TokenAuthenticator(Protocol):
    """Answers for the text of a token, wherever it came from."""

    async def authenticate_token(self, token: bytes) -> Authentication:
        """Whom the token speaks for. Never raises because of what was presented."""


class BearerAuthenticator:
    """Takes ``Authorization: Bearer <token>``, and nothing else, to a token authenticator.

    ``bare``: the header is one of the operator's own, whose value may be the token alone.
    """

    def __init__(self, tokens: TokenAuthenticator, *, bare: bool = False) -> None:
        self._tokens = tokens
        self._bare = bare

    async def authenticate(self, credentials: Credentials) -> Authentication:
        """Who presents the token."""
        if not credentials.authorization:
            return NoCredentials()
        try:
            token = bearer_token(credentials, bare=self._bare)
        except HeaderRefusedError as refused:
            return BadCredentials(str(refused), refused.code)
        return await self._tokens.authenticate_token(token)


def bearer_token(credentials: Credentials, *, bare: bool = False) -> bytes:
    """The token of the one header that carries tokens.

    Raises:
        HeaderRefusedError: several headers, another scheme, no token, or one that is too large.
    """
    if len(credentials.authorization) != 1:
        raise HeaderRefusedError("more than one Authorization header")
    value = credentials.authorization[0].strip(b" \t")
    scheme = _scheme(value)
    token = value if scheme is None else value[scheme.end() :]
    # Each character of a token by one call: a pattern would look at some hundreds, one by one.
    start = token.rstrip(b"=")
    if (scheme is None and not bare) or not start or start.translate(None, _TOKEN_CHARS):
        # Nothing of the header is named: without a scheme its first word is the token.
        raise HeaderRefusedError(
            "the Authorization header is not of the form 'Bearer <token>'; no other scheme is taken"
        )
    if len(token) > MAX_TOKEN_BYTES:
        raise HeaderRefusedError(f"the token is larger than {MAX_TOKEN_BYTES} bytes")
    return token
