"""Authority: whether what a principal started may go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from licet.authn.principal import Principal
from licet.authn.trust_state import TrustState
from licet.errors import LicetError


class AuthorityLostError(LicetError):
    """Whoever asks has lost their authority while they asked."""

    code = "authority_lost"


class Authority:
    """Says why a principal's authority is gone: it was revoked, or it ended with the token.

    Args:
        state: what was revoked.
        ends_with_token: whether expiry counts, too.
        leeways_seconds: by issuer alias, for how long after its expiry a token is still taken.
        now: gives epoch seconds.
    """

    def __init__(
        self,
        state: TrustState,
        *,
        ends_with_token: bool = False,
        leeways_seconds: Mapping[str, float] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._ends_with_token = ends_with_token
        self._leeways_seconds = leeways_seconds or {}
        self._now = now

    def lost(self, principal: Principal | None) -> str | None:
        """Why it is gone; None: it is not. Where nobody was authenticated there is none to lose."""
        if principal is None:
            return None
        reason = self._state.lost(principal)
        if reason is None and self._ends_with_token and self._has_expired(principal):
            return "the token has expired"
        return reason

    def _has_expired(self, principal: Principal) -> bool:
        if principal.expires_at is None:
            return False
        leeway = self._leeways_seconds.get(principal.issuer_alias, 0.0)
        return self._now() >= principal.expires_at + leeway
