"""The authenticator of service accounts: opaque bearer tokens, looked up by their digest."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from licet.authn.base import (
    Authenticated,
    Authentication,
    BadCredentials,
    Credentials,
    NoCredentials,
    Unavailable,
)
from licet.authn.bearer import bearer_token
from licet.authn.failure_limit import FailureLimit
from licet.authn.outage import Outage
from licet.authn.refusal import HeaderRefusedError
from licet.authn.service_accounts import (
    TOKEN_PREFIX,
    is_service_token,
    is_well_formed,
    refusal_of_token,
    service_principal,
    token_digest,
)
from licet.authn.trust_state import TrustState
from licet.db.trust_base import TrustStore
from licet.db.trust_records import ServiceAccountRecord
from licet.errors import StorageError

logger = logging.getLogger(__name__)

# One answer for all that cannot be known of a token: it helps nobody who guesses.
_UNKNOWN = BadCredentials("invalid or expired service account token")
_TOO_MANY = BadCredentials("too many failed authentication attempts", "too_many_failures")
_USE_SECONDS = 60.0
_PREFIX = TOKEN_PREFIX.encode()


class ServiceTokenAuthenticator:
    """Takes bearer tokens that begin as those of service accounts do, and no others.

    Whether the account was revoked is for ``RevocationAuthenticator`` to say, which stands around.

    Args:
        state: the accounts that this process knows.
        store: asked about tokens that it does not know: another process may have just made them.
        limit: how often a client may fail.
        bare: the header is one of the operator's own, whose value may be the token alone.
        now: gives epoch seconds.
    """

    def __init__(
        self,
        state: TrustState,
        store: TrustStore,
        *,
        limit: FailureLimit,
        bare: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._store = store
        self._limit = limit
        self._bare = bare
        self._now = now
        self._use_noted: dict[str, float] = {}
        self._noting: set[asyncio.Task[None]] = set()
        self._look_ups = Outage(
            logger,
            failing="service accounts cannot be looked up",
            working="service accounts can be looked up again",
        )
        self._notes = Outage(
            logger,
            failing="the last use of service accounts cannot be noted",
            working="the last use of service accounts can be noted again",
            level=logging.WARNING,
        )

    async def authenticate(self, credentials: Credentials) -> Authentication:
        """Which service account presents its token."""
        token = self._token(credentials)
        if token is None:
            return NoCredentials()
        digest = token_digest(token)
        account = self._state.accounts.find(digest)
        if account is None:
            # Only here: who presents a token that is known does not pay for their neighbours.
            if not credentials.looked_at and self._limit.is_reached(credentials.client):
                return _TOO_MANY
            try:
                account = await self._looked_up(token, digest, credentials.client)
            except StorageError as error:
                self._look_ups.failed(error)
                return Unavailable("the service accounts cannot be read at present")
            if account is None:
                return _UNKNOWN
        if refusal_of_token(account, digest, now=self._now()) is not None:
            self._limit.failed(credentials.client)
            return _UNKNOWN
        principal = service_principal(account, digest)
        if not credentials.looked_at and self._state.lost(principal) is None:
            self._note_use(account)
        return Authenticated(principal)

    async def close(self) -> None:
        """Wait for the notes that are being written."""
        if self._noting:
            await asyncio.wait(self._noting)

    def _token(self, credentials: Credentials) -> bytes | None:
        if _PREFIX not in b" ".join(credentials.authorization):
            return None
        try:
            token = bearer_token(credentials, bare=self._bare)
        except HeaderRefusedError:
            # Whoever reads the header for tokens of every kind says what is wrong with it.
            return None
        return token if is_service_token(token) else None

    async def _looked_up(
        self, token: bytes, digest: str, client: str | None
    ) -> ServiceAccountRecord | None:
        # Counted before anything is waited for: many at once would all find that there is room.
        attempt = self._limit.failed(client)
        if not is_well_formed(token):
            return None
        try:
            account = await self._store.find_service_account(digest)
        except StorageError:
            attempt.was_none()
            raise
        self._look_ups.worked()
        if account is not None:
            attempt.was_none()
            self._state.accounts.apply([account])
        return account

    def _note_use(self, account: ServiceAccountRecord) -> None:
        now = self._now()
        noted = self._use_noted.get(account.id)
        if noted is not None and now - noted < _USE_SECONDS:
            return
        self._use_noted[account.id] = now
        task = asyncio.get_running_loop().create_task(self._write_use(account.id, now))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def _write_use(self, account_id: str, now: float) -> None:
        try:
            await self._store.touch_service_account(
                account_id, last_used_at_us=int(now * 1_000_000)
            )
        except StorageError as error:
            # Tried again with a use in a minute's time: nobody waits for a note.
            self._notes.failed(error)
        else:
            self._notes.worked()
