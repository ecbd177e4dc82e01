"""TrustState: revocations and service accounts as this process knows them, and since when."""

from __future__ import annotations

import time
from collections.abc import Callable

from licet.authn.principal import Principal, PrincipalKind
from licet.authn.revocation import RevocationList
from licet.authn.service_accounts import (
    AccountBook,
    refusal_of_account,
    refusal_of_rotator,
    refusal_of_token,
)
from licet.db.trust_records import TrustChanges

DEFAULT_MAX_AGE_SECONDS = 5.0
FORGET_AFTER_SECONDS = 86_400.0
"""How long a revocation is kept after it has expired.

A clock that was ahead for a moment, here or on another machine, must not take it away for good.
"""


class TrustState:
    """What is held in memory of the database's trust, for one event loop.

    Args:
        max_age_seconds: how old it may be; an older one opens nothing.
        now: gives epoch seconds, for what expires.
        monotonic: gives seconds, for the age of the state.
    """

    def __init__(
        self,
        *,
        max_age_seconds: float = DEFAULT_MAX_AGE_SECONDS,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.number = 0
        self.revocations = RevocationList()
        self.accounts = AccountBook()
        self._max_age_seconds = max_age_seconds
        self._now = now
        self._monotonic = monotonic
        self._read_at: float | None = None

    @property
    def is_current(self) -> bool:
        """Whether it was read, and not too long ago."""
        read_at = self._read_at
        return read_at is not None and self._monotonic() - read_at <= self._max_age_seconds

    def apply(self, changes: TrustChanges) -> None:
        """Take over what changed."""
        self.revocations.apply(changes.revocations)
        self.accounts.apply(changes.service_accounts)
        self.number = changes.number

    def take_over(self, other: TrustState) -> None:
        """Know what another one knows and nothing else, from one moment to the next."""
        self.number, self.revocations, self.accounts = (
            other.number,
            other.revocations,
            other.accounts,
        )

    def confirm(self, *, read_at: float) -> None:
        """Note that nothing was missing at ``read_at``, in seconds of ``monotonic``."""
        self._read_at = read_at if self._read_at is None else max(self._read_at, read_at)

    def forget_expired(self) -> None:
        """Forget revocations that have expired long enough ago."""
        self.revocations.forget_expired(now=self._now() - FORGET_AFTER_SECONDS)

    def lost(self, principal: Principal) -> str | None:
        """Why the principal's authority is gone; None: it is not.

        The expiry of a token is not looked at; that of a service account is, and the end of the
        token that it has presented: what that has open ends with it.
        """
        if principal.kind is PrincipalKind.SERVICE:
            return self._service_lost(principal)
        return self.revocations.reason(principal, now=self._now())

    def _service_lost(self, principal: Principal) -> str | None:
        now, digest = self._now(), principal.key_id or ""
        account = self.accounts.get(principal.token_id)
        if account is None:
            return "the service account is not known"
        return (
            refusal_of_account(account, self.revocations, now=now)
            or refusal_of_token(account, digest, now=now)
            or refusal_of_rotator(account, digest, self.revocations, now=now)
        )
