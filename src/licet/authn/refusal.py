"""What is raised inside of authentication: a token is refused, with the reason and a code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from licet.errors import LicetError

if TYPE_CHECKING:
    from licet.authn.key_set import KeySet
    from licet.authn.key_source import KeySource


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


class KeyNotFoundError(SignatureRefusedError):
    """The key that the token names is not in ``key_set``; asking ``source`` anew may mend it."""

    code = "token_key"

    def __init__(self, message: str, *, source: KeySource, key_set: KeySet) -> None:
        super().__init__(message)
        self.source = source
        self.key_set = key_set


class KeysUnavailableError(KeyNotFoundError):
    """The keys of the issuer cannot be read at present: nobody can say what the token is worth."""

    code = "keys_unavailable"
