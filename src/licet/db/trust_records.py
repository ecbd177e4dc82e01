"""The rows of trust: revocations and service accounts. They are the organisation's, not an owner's.

Times are epoch microseconds. ``change_number`` is the number that the topic ``TRUST_TOPIC`` had
reached with the row's last change: numbers are given in the order of commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

TRUST_TOPIC = "trust"
"""The topic that changes with every change of a revocation or a service account."""


class RevocationKind(StrEnum):
    """What a revocation names."""

    TOKEN = "token"  # noqa: S105 - a kind, and no token
    """``value`` is a token id: the ``jti``, or the digest that stands for it."""
    SESSION = "session"
    """``value`` is the ``sid`` of a login session at the auth server."""
    SUBJECT = "subject"
    """``value`` is a subject: what was issued to them before, and their service accounts."""
    LOGOUT = "logout"
    """``value`` is a subject who has logged out: what was issued before, not service accounts."""
    KEY = "key"
    """``value`` is the id of a verification key: everything that it signed."""
    SERVICE_ACCOUNT = "service_account"
    """``value`` is the id of a service account, revoked itself: this says why, and by whom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRecord:
    """One revocation. There is one of a (kind, issuer alias, value); the later cutoff stands.

    ``issued_before_us`` counts for subjects and logouts: what was issued up to then, and what does
    not say when, is refused. ``subject`` is given with a session whose tokens may not name it: the
    subject's tokens without a ``sid`` are refused like a logout's. ``deleted_at_us``: taken back.
    """

    id: str
    kind: RevocationKind
    issuer_alias: str
    value: str
    subject: str | None = None
    issued_before_us: int
    expires_at_us: int
    reason: str | None = None
    created_by: str | None = None
    created_at_us: int
    deleted_at_us: int | None = None
    change_number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountRecord:
    """A service account. Of its tokens only SHA-256 digests (hexadecimal) are stored.

    ``token_digest`` None: its token was ended, and it needs another. ``old_token_digest`` is the
    token before the last rotation, good until ``old_expires_at_us``. ``expires_at_us`` None: never.

    ``creator_…`` is who made the account, with which token: what that has as its time of issue, 0
    where it has none. ``rotator_…`` is the same of who had the current token made by a rotation,
    and ``old_rotator_…`` of the old one. Alias and subject are None where it was the operator at
    the command line, and of a rotator where there was no rotation.

    One account of a name is active at a time.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    token_digest: str | None
    token_prefix: str
    rotator_alias: str | None = None
    rotator_subject: str | None = None
    rotator_issued_at_us: int = 0
    old_token_digest: str | None = None
    old_expires_at_us: int | None = None
    old_rotator_alias: str | None = None
    old_rotator_subject: str | None = None
    old_rotator_issued_at_us: int = 0
    creator_alias: str | None = None
    creator_subject: str | None = None
    creator_issued_at_us: int = 0
    created_at_us: int
    expires_at_us: int | None = None
    last_used_at_us: int | None = None
    revoked_at_us: int | None = None
    change_number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """The token that an account is given, its expiry, and who has it made."""

    token_digest: str
    token_prefix: str
    expires_at_us: int | None
    rotator_alias: str | None = None
    rotator_subject: str | None = None
    rotator_issued_at_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustChanges:
    """What changed after a number: the rows as they are now, deleted and revoked ones included.

    ``number`` is what to ask with the next time.
    """

    number: int
    revocations: tuple[RevocationRecord, ...] = ()
    service_accounts: tuple[ServiceAccountRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationQuery:
    """Which revocations to list, the latest first: in force at ``now_us``. None: no filter."""

    now_us: int
    kind: RevocationKind | None = None
    issuer_alias: str | None = None
    value: str | None = None
    page: int = 1
    limit: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationPage:
    """One page of revocations, and how many there are in all."""

    revocations: tuple[RevocationRecord, ...]
    total_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountQuery:
    """Which service accounts to list. ``ids`` None: all; ``page`` counts from 1."""

    include_revoked: bool = False
    ids: frozenset[str] | None = None
    sort_by: Literal["created_at", "name", "last_used_at", "expires_at"] = "created_at"
    descending: bool = True
    page: int = 1
    limit: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountPage:
    """One page of service accounts, and how many there are in all."""

    service_accounts: tuple[ServiceAccountRecord, ...]
    total_count: int
