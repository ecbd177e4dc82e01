"""Service accounts: who may make one, with which scopes. Nobody grants what they do not hold."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from licet.authn.makers import Maker
from licet.authn.principal import Principal, PrincipalKind
from licet.authn.service_accounts import NewToken, new_token
from licet.authz.families import Families
from licet.authz.grants import Grants
from licet.authz.scope import AdminScope, Scope, UnusableScope, parse_scope
from licet.db.trust_base import TrustStore
from licet.db.trust_records import Rotation, ServiceAccountRecord
from licet.errors import ConflictError, InvalidInputError, LicetError, NotFoundError

DEFAULT_SCOPES = ("agents:run", "teams:run", "workflows:run", "sessions:read", "config:read")
DEFAULT_EXPIRY_DAYS = 90
MAX_EXPIRY_DAYS = 3650
DEFAULT_OVERLAP_SECONDS = 3600
MAX_OVERLAP_SECONDS = 30 * 86_400
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
# Whoever names an account means it by name or id: no name can be another's id (RFC 9562 §4).
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PRIVILEGED_ACTIONS = frozenset(("write", "delete"))
_DAY_US = 86_400 * 1_000_000


class ScopeNotUsableError(LicetError):
    """A scope that grants nothing, or more than was meant to be given away."""

    code = "scope_not_usable"


class NotYoursToGrantError(LicetError):
    """Whoever asks does not hold what the account would."""

    code = "not_yours_to_grant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grantor:
    """Who makes a service account. ``principal`` None: the operator, at the command line."""

    grants: Grants
    principal: Principal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """What is asked for. ``expires_in_days`` None: it never expires."""

    name: str
    scopes: Sequence[str] = DEFAULT_SCOPES
    expires_in_days: int | None = DEFAULT_EXPIRY_DAYS
    allow_privileged_scopes: bool = False


@dataclass(frozen=True, slots=True)
class Minted:
    """An account and its token, which is not shown again."""

    account: ServiceAccountRecord
    token: NewToken


class Minting:
    """Makes service accounts and gives them new tokens. ``now`` gives epoch seconds."""

    def __init__(
        self,
        store: TrustStore,
        *,
        admin_scope: str,
        families: Families,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._admin_scope = admin_scope
        self._families = families
        self._now = now

    async def mint(self, wanted: NewAccount, grantor: Grantor) -> Minted:
        """Make an account.

        Raises:
            InvalidInputError: the name or the expiry is none.
            ScopeNotUsableError: a scope grants nothing, or is privileged without being said so.
            NotYoursToGrantError: a scope that the grantor does not hold.
            ConflictError: an active account has that name.
        """
        if not _NAME.fullmatch(wanted.name):
            raise InvalidInputError("name", "1 to 63 of a-z, 0-9, _ and -, not _ or - first")
        if _ID.fullmatch(wanted.name):
            raise InvalidInputError("name", "a name that is not of the form of an id (UUID)")
        scopes = self._scopes(wanted)
        _check_holds(grantor, scopes)
        now_us, creator, token = self._now_us(), Maker.of(grantor.principal), new_token()
        account = ServiceAccountRecord(
            id=str(uuid.uuid4()),
            name=wanted.name,
            scopes=tuple(scopes),
            token_digest=token.digest,
            token_prefix=token.prefix,
            creator_alias=creator.alias,
            creator_subject=creator.subject,
            creator_issued_at_us=creator.issued_at_us,
            created_at_us=now_us,
            expires_at_us=_expiry_us(now_us, wanted.expires_in_days),
        )
        if not await self._store.create_service_account(account):
            raise ConflictError(
                f"An active service account named '{wanted.name}' already exists. "
                "Rotate its token, or revoke it first."
            )
        return Minted(account, token)

    async def rotate(
        self,
        account_id: str,
        grantor: Grantor,
        *,
        overlap_seconds: int = DEFAULT_OVERLAP_SECONDS,
        expires_in_days: int | None = None,
    ) -> Minted:
        """Give an account another token; the one that it had stays good for the overlap.

        ``expires_in_days`` None: 90 days from now; an account that never expires stays so.

        Raises:
            NotFoundError: there is no active account of that id.
            NotYoursToGrantError: it holds a scope that the grantor does not.
            InvalidInputError: the overlap or the expiry is none.
        """
        if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
            raise InvalidInputError("overlap_seconds", f"0 to {MAX_OVERLAP_SECONDS}")
        account = await self._store.get_service_account(account_id)
        if account is None:
            raise _unknown(account_id)
        # Whoever rotates gets the token into their hands.
        _check_holds(grantor, self._parsed(account.scopes))
        now_us, rotator, token = self._now_us(), Maker.of(grantor.principal), new_token()
        rotation = Rotation(
            token_digest=token.digest,
            token_prefix=token.prefix,
            expires_at_us=_renewed_us(account, now_us, expires_in_days),
            rotator_alias=rotator.alias,
            rotator_subject=rotator.subject,
            rotator_issued_at_us=rotator.issued_at_us,
        )
        rotated = await self._store.rotate_service_account(
            account_id,
            rotation=rotation,
            old_expires_at_us=now_us + overlap_seconds * 1_000_000,
            now_us=now_us,
        )
        if rotated is None:
            raise _unknown(account_id)
        return Minted(rotated, token)

    async def end_token(self, minted: Minted) -> None:
        """End a token that an account was rotated to; the one before it stays for its overlap."""
        await self._store.end_service_token(minted.account.id, token_digest=minted.token.digest)

    async def revoke(self, account_id: str) -> ServiceAccountRecord:
        """Revoke an account; one that was revoked stays so.

        Raises:
            NotFoundError: there is none of that id.
        """
        revoked = await self._store.revoke_service_account(account_id, revoked_at_us=self._now_us())
        if revoked is None:
            raise _unknown(account_id)
        return revoked

    def _scopes(self, wanted: NewAccount) -> dict[str, Scope | AdminScope]:
        scopes = self._parsed(wanted.scopes)
        if not wanted.allow_privileged_scopes:
            privileged = [text for text, scope in scopes.items() if _is_privileged(scope)]
            if privileged:
                raise ScopeNotUsableError(
                    "Privileged scope(s) require allow_privileged_scopes=true: "
                    + ", ".join(privileged)
                )
        return scopes

    def _parsed(self, texts: Sequence[str]) -> dict[str, Scope | AdminScope]:
        parsed: dict[str, Scope | AdminScope] = {}
        unusable: list[str] = []
        for text in texts:
            scope = parse_scope(text, admin_scope=self._admin_scope, families=self._families)
            if isinstance(scope, UnusableScope):
                unusable.append(text)
            else:
                parsed[text] = scope
        if unusable:
            raise ScopeNotUsableError(f"Invalid scope(s): {', '.join(unusable)}")
        return parsed

    def _now_us(self) -> int:
        return int(self._now() * 1_000_000)


def _check_holds(grantor: Grantor, scopes: dict[str, Scope | AdminScope]) -> None:
    principal = grantor.principal
    if principal is not None and principal.kind is PrincipalKind.SERVICE:
        # It would outlive its own revocation in the accounts that it made.
        raise NotYoursToGrantError("A service account gives no token to another")
    missing = [text for text, scope in scopes.items() if not grantor.grants.covers(scope)]
    if missing:
        raise NotYoursToGrantError(f"Cannot grant scope(s) you do not hold: {', '.join(missing)}")


def _is_privileged(scope: Scope | AdminScope) -> bool:
    return isinstance(scope, AdminScope) or scope.action in _PRIVILEGED_ACTIONS


def _expiry_us(now_us: int, days: int | None) -> int | None:
    if days is None:
        return None
    if not 1 <= days <= MAX_EXPIRY_DAYS:
        raise InvalidInputError("expires_in_days", f"1 to {MAX_EXPIRY_DAYS}")
    return now_us + days * _DAY_US


def _renewed_us(account: ServiceAccountRecord, now_us: int, days: int | None) -> int | None:
    if days is None and account.expires_at_us is None:
        return None
    return _expiry_us(now_us, DEFAULT_EXPIRY_DAYS if days is None else days)


def _unknown(account_id: str) -> NotFoundError:
    return NotFoundError("Service account", account_id, f"Service account '{account_id}' not found")
