"""The check against revocation that every authenticated request passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from licet.authn.base import (
    Authenticated,
    Authentication,
    Authenticator,
    BadCredentials,
    Credentials,
    Unavailable,
)
from licet.authn.trust_state import TrustState


class RevocationAuthenticator:
    """Asks another authenticator, and refuses principals whose authority was taken back.

    Args:
        inner: who authenticates.
        state: what was revoked.
        refresh: tries to bring the state up to date; asked where it is not.
    """

    def __init__(
        self, inner: Authenticator, state: TrustState, *, refresh: Callable[[], Awaitable[object]]
    ) -> None:
        self._inner = inner
        self._state = state
        self._refresh = refresh

    async def authenticate(self, credentials: Credentials) -> Authentication:
        """The inner answer, unless it is of somebody who was revoked."""
        answer = await self._inner.authenticate(credentials)
        if not isinstance(answer, Authenticated):
            return answer
        if not self._state.is_current:
            await self._refresh()
            if not self._state.is_current:
                return Unavailable("the revocations cannot be read at present")
        reason = self._state.lost(answer.principal)
        if reason is None:
            return answer
        return BadCredentials(reason, "token_revoked", answer.principal)
