"""Revoking: what is taken back, until when, and whose service accounts end with it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from licet.authn.issuer import TrustedIssuer
from licet.authn.logout_token import LogoutToken
from licet.authn.makers import creator_of, rotators_of
from licet.authn.principal import SERVICE_ALIAS, SERVICE_PREFIX
from licet.db.trust_base import TrustStore
from licet.db.trust_records import RevocationKind, RevocationRecord
from licet.errors import InvalidInputError
from licet.os.account_lookup import every_account, find_account

_DAY_SECONDS = 86_400.0
# Longer than tokens live. An issuer whose tokens have a stated lifetime needs less.
KEPT_SECONDS = 3650 * _DAY_SECONDS
# Of logouts there are many, and what a browser keeps lives no longer (RFC 6265bis §5.5).
LOGOUT_KEPT_SECONDS = 400 * _DAY_SECONDS
# What a service account's principal has in these places is no token's of an issuer.
_IDS = {RevocationKind.TOKEN: "token_id", RevocationKind.KEY: "key_id"}


class IsServiceAccountError(InvalidInputError):
    """What is named as something of an issuer is a service account: ``account`` is which."""

    code = "is_service_account"

    def __init__(self, field: str, account: str) -> None:
        super().__init__(
            field, f"one that issuers give; for a service account use service_account: {account!r}"
        )
        self.account = account


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """What somebody wants revoked. Times are epoch seconds; None: now, and as long as it takes.

    ``expires_at`` is until when they want it, ``ends_at`` when what is revoked ends by itself.
    """

    kind: RevocationKind
    value: str
    issuer_alias: str | None = None
    issued_before: float | None = None
    expires_at: float | None = None
    ends_at: float | None = None
    reason: str | None = None
    created_by: str | None = None


class Revoking:
    """Revokes, for the issuers of one server.

    Args:
        store: where revocations are kept.
        issuers: of the server.
        outlives_seconds: for how long what a token has started may go on without it. A revocation
            is kept at least as long: what waits for its turn may not outlast it.
        now: gives epoch seconds.
    """

    def __init__(
        self,
        store: TrustStore,
        issuers: Sequence[TrustedIssuer],
        *,
        outlives_seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._issuers = {issuer.alias: issuer for issuer in issuers}
        self._outlives_seconds = outlives_seconds
        self._now = now

    async def revoke(self, wanted: Revoke) -> RevocationRecord:
        """Store a revocation and answer it as it stands.

        Raises:
            InvalidInputError: there is no such issuer, or a time makes no sense.
            IsServiceAccountError: a service account's name or id is given as something else.
            NotFoundError: there is no such service account.
        """
        if wanted.kind is RevocationKind.SERVICE_ACCOUNT:
            return await self._revoke_account(wanted)
        await self._check_is_no_account(wanted)
        now = self._now()
        issuer = self._issuer(wanted.issuer_alias)
        issued_before = now if wanted.issued_before is None else wanted.issued_before
        expires_at = self._kept_until(wanted.kind, issuer, now=now, ends_at=wanted.ends_at)
        if wanted.expires_at is not None:
            expires_at = wanted.expires_at
        if expires_at <= now:
            raise InvalidInputError("expires_at", "a time to come")
        if issued_before > now + issuer.leeway_seconds:
            raise InvalidInputError(
                "issued_before", f"at most {issuer.leeway_seconds:g} seconds from now"
            )
        record = _record(
            wanted, issuer.alias, now=now, issued_before=issued_before, expires_at=expires_at
        )
        (stored,) = await self._store.add_revocations([record])
        if wanted.kind is RevocationKind.SUBJECT:
            await self._end_accounts_of(stored)
        return stored

    async def log_out(self, token: LogoutToken) -> bool:
        """Take back what a logout token ends. False: the token was used before."""
        now = self._now()
        issuer = self._issuer(token.issuer_alias)
        used = Revoke(kind=RevocationKind.TOKEN, value=token.token_id, reason="a used logout token")
        ended = (
            Revoke(kind=RevocationKind.LOGOUT, value=token.subject or "", reason="logged out")
            if token.sid is None
            else Revoke(kind=RevocationKind.SESSION, value=token.sid, reason="logged out")
        )
        kept_until = self._kept_until(ended.kind, issuer, now=now)
        # By the clock that has dated the tokens, where that is ahead of ours.
        issued_before = max(now, token.issued_at)
        return await self._store.use_once(
            _record(used, issuer.alias, now=now, issued_before=now, expires_at=token.expires_at),
            [
                _record(
                    ended,
                    issuer.alias,
                    now=now,
                    issued_before=issued_before,
                    expires_at=kept_until,
                    subject=token.subject if token.sid is not None else None,
                )
            ],
        )

    async def _check_is_no_account(self, wanted: Revoke) -> None:
        """Refuse what would be answered with a revocation that ends nothing."""
        kind, value = wanted.kind, wanted.value
        if kind is RevocationKind.SUBJECT and value.startswith(SERVICE_PREFIX):
            raise IsServiceAccountError("subject", value.removeprefix(SERVICE_PREFIX))
        if kind in _IDS:
            account = await self._store.get_service_account(value)
            account = account or await self._store.find_service_account(value)
            if account is not None:
                raise IsServiceAccountError(_IDS[kind], account.id)

    async def _revoke_account(self, wanted: Revoke) -> RevocationRecord:
        now = self._now()
        account = await find_account(self._store, wanted.value, now=now)
        await self._store.revoke_service_account(account.id, revoked_at_us=_us(now))
        named = Revoke(
            kind=wanted.kind,
            value=account.id,
            reason=wanted.reason,
            created_by=wanted.created_by,
        )
        kept_until = now + max(LOGOUT_KEPT_SECONDS, self._outlives_seconds)
        record = _record(named, SERVICE_ALIAS, now=now, issued_before=now, expires_at=kept_until)
        (stored,) = await self._store.add_revocations([record])
        return stored

    async def _end_accounts_of(self, revocation: RevocationRecord) -> None:
        """The accounts that a subject made, and the tokens that they had made for others.

        For good: they would come back when the revocation expires.
        """
        # The revoked ones too: pages must not shift while what is on them is revoked.
        async for account in every_account(self._store, include_revoked=True):
            if account.revoked_at_us is not None:
                continue
            if creator_of(account).is_hit_by(revocation):
                await self._store.revoke_service_account(account.id, revoked_at_us=_us(self._now()))
                continue
            for digest, rotator in rotators_of(account).items():
                if rotator.is_hit_by(revocation):
                    await self._store.end_service_token(account.id, token_digest=digest)

    def _kept_until(
        self,
        kind: RevocationKind,
        issuer: TrustedIssuer,
        *,
        now: float,
        ends_at: float | None = None,
    ) -> float:
        """Until nothing of what is revoked, and nothing that it has started, can go on."""
        ends_at = now + _lives_seconds(kind, issuer) if ends_at is None else ends_at
        return max(ends_at, now + self._outlives_seconds + 2 * issuer.leeway_seconds)

    def _issuer(self, alias: str | None) -> TrustedIssuer:
        if alias is None and len(self._issuers) == 1:
            return next(iter(self._issuers.values()))
        issuer = self._issuers.get(alias or "")
        if issuer is None:
            known = ", ".join(sorted(self._issuers))
            raise InvalidInputError("issuer", f"the alias of a trusted issuer, one of: {known}")
        return issuer


def _lives_seconds(kind: RevocationKind, issuer: TrustedIssuer) -> float:
    lifetime = issuer.max_token_lifetime_seconds
    if lifetime is not None and kind is not RevocationKind.KEY:
        return lifetime + 2 * issuer.leeway_seconds
    short = kind in {RevocationKind.SESSION, RevocationKind.LOGOUT}
    return LOGOUT_KEPT_SECONDS if short else KEPT_SECONDS


def _record(
    wanted: Revoke,
    alias: str,
    *,
    now: float,
    issued_before: float,
    expires_at: float,
    subject: str | None = None,
) -> RevocationRecord:
    return RevocationRecord(
        id=str(uuid.uuid4()),
        kind=wanted.kind,
        issuer_alias=alias,
        value=wanted.value,
        subject=subject,
        # Rounded up: what was issued within the last microsecond counts as before.
        issued_before_us=ceil(issued_before * 1_000_000),
        expires_at_us=_us(expires_at),
        reason=wanted.reason,
        created_by=wanted.created_by,
        created_at_us=_us(now),
    )


def _us(epoch: float) -> int:
    return int(epoch * 1_000_000)
