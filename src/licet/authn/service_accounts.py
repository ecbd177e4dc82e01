"""Service accounts: opaque tokens for machines, of which only digests are kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from licet.authn.makers import creator_of, rotators_of
from licet.authn.principal import SERVICE_ALIAS, SERVICE_PREFIX, Principal, PrincipalKind
from licet.authn.revocation import RevocationList
from licet.db.trust_records import ServiceAccountRecord

TOKEN_PREFIX = "licet_sa_"  # noqa: S105 - how tokens begin, and no token
_TOKEN = re.compile(rb"licet_sa_[A-Za-z0-9_-]{43}")
_TOKEN_BYTES = 32
_SHOWN_CHARS = len(TOKEN_PREFIX) + 4
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made: shown once, then only its digest is known."""

    text: str = field(repr=False)

    @property
    def digest(self) -> str:
        """What is stored of it."""
        return token_digest(self.text.encode())

    @property
    def prefix(self) -> str:
        """Its beginning, by which people tell tokens apart."""
        return self.text[:_SHOWN_CHARS]


def new_token(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> NewToken:
    """A token with 32 random bytes."""
    import base64

    encoded = base64.urlsafe_b64encode(random_bytes(_TOKEN_BYTES)).rstrip(b"=")
    return NewToken(TOKEN_PREFIX + encoded.decode())


def is_service_token(token: bytes) -> bool:
    """Whether the text claims to be the token of a service account."""
    return token.startswith(TOKEN_PREFIX.encode())


def is_well_formed(token: bytes) -> bool:
    """Whether it can be one."""
    return _TOKEN.fullmatch(token) is not None


def token_digest(token: bytes) -> str:
    """SHA-256, hexadecimal. The token is random: no salt and no slow hash add anything."""
    return hashlib.sha256(token).hexdigest()


def service_principal(account: ServiceAccountRecord, digest: str) -> Principal:
    """Who a service account is, that presents its token of that digest.

    Its sessions stay its own over rotations, by its name.
    """
    expires_at_us = account.expires_at_us
    return Principal(
        issuer_alias=SERVICE_ALIAS,
        issuer=None,
        subject=f"{SERVICE_PREFIX}{account.name}",
        scopes=account.scopes,
        token_id=account.id,
        key_id=digest,
        issued_at=account.created_at_us / _MICROSECONDS,
        expires_at=None if expires_at_us is None else expires_at_us / _MICROSECONDS,
        kind=PrincipalKind.SERVICE,
    )


class AccountBook:
    """The service accounts, held in memory as far as the database has told."""

    def __init__(self) -> None:
        self._by_id: dict[str, ServiceAccountRecord] = {}
        self._by_digest: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def apply(self, changed: Iterable[ServiceAccountRecord]) -> None:
        """Take over rows that changed. An older state than the known one is not taken."""
        for account in changed:
            known = self._by_id.get(account.id)
            if known is not None:
                if known.change_number > account.change_number:
                    continue
                for digest in _digests(known):
                    self._by_digest.pop(digest, None)
            self._by_id[account.id] = account
            for digest in _digests(account):
                self._by_digest[digest] = account.id

    def find(self, digest: str) -> ServiceAccountRecord | None:
        """The account whose current or old token has that digest."""
        return self._by_id.get(self._by_digest.get(digest, ""))

    def get(self, account_id: str) -> ServiceAccountRecord | None:
        """The account of that id."""
        return self._by_id.get(account_id)


def refusal_of_account(
    account: ServiceAccountRecord, revocations: RevocationList, *, now: float
) -> str | None:
    """Why an account opens nothing any more; None: it does. ``now`` is epoch seconds."""
    now_us = now * _MICROSECONDS
    if account.revoked_at_us is not None:
        return "the service account was revoked"
    if account.expires_at_us is not None and account.expires_at_us <= now_us:
        return "the service account has expired"
    if creator_of(account).was_revoked(revocations, now=now):
        return "whoever made the service account was revoked"
    return None


def refusal_of_token(account: ServiceAccountRecord, digest: str, *, now: float) -> str | None:
    """Why this token of an account is not taken any more; None: it is."""
    if digest == account.token_digest:
        return None
    ended = account.old_expires_at_us
    if digest == account.old_token_digest and ended is not None and now * _MICROSECONDS < ended:
        return None
    return "the service account has another token now"


def refusal_of_rotator(
    account: ServiceAccountRecord, digest: str, revocations: RevocationList, *, now: float
) -> str | None:
    """Why this token is not taken any more, whoever had it made being gone; None: it is."""
    rotator = rotators_of(account).get(digest)
    if rotator is not None and rotator.was_revoked(revocations, now=now):
        return "whoever rotated the service account was revoked"
    return None


def _digests(account: ServiceAccountRecord) -> tuple[str, ...]:
    digests = (account.token_digest, account.old_token_digest)
    return tuple(digest for digest in digests if digest is not None)
