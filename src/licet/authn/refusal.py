"""What is raised inside of authentication: a token is refused, with the reason and a code."""

from __future__ import annotations

from licet.errors import LicetError


class TokenRefusedError(LicetError):
    """The token is not taken. The message is the reason, without anything of the token."""

    code = "token_refused"


class HeaderRefusedError(TokenRefusedError):
    """The Authorization header itself is not taken; no token was looked at."""

    code = "authorization_header"


class SignatureRefusedError(TokenRefusedError):
    """No key of the issuer made this signature."""

    code = "token_signature"


class TokenExpiredError(TokenRefusedError):
    """The token was good once: a new one mends it."""

    code = "token_expired"
