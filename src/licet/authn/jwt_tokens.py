"""JwtTokens: signed tokens answered for, with one more look at the keys where one is missing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from licet.authn.base import Authenticated, Authentication, BadCredentials, Unavailable
from licet.authn.cache import CachingVerifier
from licet.authn.refusal import KeyNotFoundError, KeysUnavailableError, TokenRefusedError

T = TypeVar("T")


class JwtTokens:
    """Answers for signed tokens."""

    def __init__(self, verifier: CachingVerifier) -> None:
        self._verifier = verifier

    async def authenticate_token(self, token: bytes) -> Authentication:
        """Whom the token speaks for."""
        try:
            principal = await with_fresh_keys(partial(self._verifier.verify, token))
        except KeysUnavailableError as unavailable:
            return Unavailable(str(unavailable))
        except TokenRefusedError as refused:
            return BadCredentials(str(refused), refused.code)
        return Authenticated(principal)


async def with_fresh_keys(verify: Callable[[], T]) -> T:
    """What ``verify`` answers; asked again where a key was missing and its keys are others now.

    Raises:
        TokenRefusedError: the token does not verify.
    """
    try:
        return verify()
    except KeyNotFoundError as missing:
        await missing.source.refetch()
        # Whoever brought other keys meanwhile: the one that was missing may be among them.
        if missing.source.current() is missing.key_set:
            raise
    return verify()
