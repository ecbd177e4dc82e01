"""LimitedAuthenticator: who keeps failing is told to wait. Good credentials are never affected."""

from __future__ import annotations

from licet.authn.base import Authentication, Authenticator, BadCredentials, Credentials
from licet.authn.failure_limit import FailureLimit

TOO_MANY = BadCredentials("too many failed authentication attempts", "too_many_failures")

# Was good once, or is no matter of the credentials: nobody guesses with these.
_NO_GUESSES = frozenset(("token_expired", "token_revoked", "cross_site", "too_many_failures"))


class LimitedAuthenticator:
    """Asks another authenticator, and counts the failures of each client.

    What verifies is let through, however often its client (or whoever shares its address) has
    failed: so nobody can lock others out.

    Args:
        inner: who authenticates.
        limit: how often a client may fail.
    """

    def __init__(self, inner: Authenticator, *, limit: FailureLimit) -> None:
        self._inner = inner
        self._limit = limit

    async def authenticate(self, credentials: Credentials) -> Authentication:
        """The inner answer; of a failure too many, that it is one."""
        answer = await self._inner.authenticate(credentials)
        if (
            credentials.looked_at
            or not isinstance(answer, BadCredentials)
            or answer.code in _NO_GUESSES
        ):
            return answer
        if self._limit.is_reached(credentials.client):
            return TOO_MANY
        self._limit.failed(credentials.client)
        return answer
