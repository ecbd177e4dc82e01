"""Revocations and service accounts to rows and back, in the order of the columns named here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from licet.db.codec import checked, json_text
from licet.db.trust_records import RevocationKind, RevocationRecord, ServiceAccountRecord

REVOCATION_COLUMNS = (
    "id",
    "kind",
    "issuer_alias",
    "value",
    "subject",
    "issued_before_us",
    "expires_at_us",
    "reason",
    "created_by",
    "created_at_us",
    "deleted_at_us",
    "change_number",
)
SERVICE_ACCOUNT_COLUMNS = (
    "id",
    "name",
    "scopes",
    "token_digest",
    "token_prefix",
    "rotator_alias",
    "rotator_subject",
    "rotator_issued_at_us",
    "old_token_digest",
    "old_expires_at_us",
    "old_rotator_alias",
    "old_rotator_subject",
    "old_rotator_issued_at_us",
    "creator_alias",
    "creator_subject",
    "creator_issued_at_us",
    "created_at_us",
    "expires_at_us",
    "last_used_at_us",
    "revoked_at_us",
    "change_number",
)

_INDEXED = frozenset({"id", "issuer_alias", "value", "token_digest", "old_token_digest"})


def revocation_row(revocation: RevocationRecord) -> tuple[Any, ...]:
    """A revocation's values.

    Raises:
        StorageError: a text or a number of it cannot be stored.
    """
    row = (
        revocation.id,
        revocation.kind.value,
        revocation.issuer_alias,
        revocation.value,
        revocation.subject,
        revocation.issued_before_us,
        revocation.expires_at_us,
        revocation.reason,
        revocation.created_by,
        revocation.created_at_us,
        revocation.deleted_at_us,
        revocation.change_number,
    )
    return checked(row, REVOCATION_COLUMNS, indexed=_INDEXED)


def revocation_record(row: Sequence[Any]) -> RevocationRecord:
    """A row of revocations as a record."""
    values = dict(zip(REVOCATION_COLUMNS, row, strict=True))
    return RevocationRecord(**{**values, "kind": RevocationKind(values["kind"])})


def service_account_row(account: ServiceAccountRecord) -> tuple[Any, ...]:
    """A service account's values.

    Raises:
        StorageError: a text or a number of it cannot be stored.
    """
    row = (
        account.id,
        account.name,
        json_text(account.scopes, "scopes"),
        account.token_digest,
        account.token_prefix,
        account.rotator_alias,
        account.rotator_subject,
        account.rotator_issued_at_us,
        account.old_token_digest,
        account.old_expires_at_us,
        account.old_rotator_alias,
        account.old_rotator_subject,
        account.old_rotator_issued_at_us,
        account.creator_alias,
        account.creator_subject,
        account.creator_issued_at_us,
        account.created_at_us,
        account.expires_at_us,
        account.last_used_at_us,
        account.revoked_at_us,
        account.change_number,
    )
    return checked(row, SERVICE_ACCOUNT_COLUMNS, indexed=_INDEXED)


def service_account_record(row: Sequence[Any]) -> ServiceAccountRecord:
    """A row of service accounts as a record."""
    values = dict(zip(SERVICE_ACCOUNT_COLUMNS, row, strict=True))
    scopes = tuple(msgspec.json.decode(values["scopes"], type=list[str]))
    return ServiceAccountRecord(**{**values, "scopes": scopes})


def check_values(**values: str | int | None) -> None:
    """Refuse new values of columns, by name, that no database could hold.

    Raises:
        StorageError: one of them is such.
    """
    checked(tuple(values.values()), tuple(values), indexed=_INDEXED)
