"""The writes of revocations and service accounts, as fixed lists of statements.

The first statement of each takes the row of the topic in ``licet_changes``, which stays locked up
to the commit. So all of them, in all processes, go one after the other: numbers are given in the
order of commits, what a write finds does not change under it, and none waits in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from licet.db.codec import within_columns
from licet.db.trust_codec import (
    REVOCATION_COLUMNS,
    SERVICE_ACCOUNT_COLUMNS,
    check_values,
    revocation_record,
    revocation_row,
    service_account_record,
    service_account_row,
)
from licet.db.trust_records import TRUST_TOPIC, RevocationRecord, Rotation, ServiceAccountRecord
from licet.db.writes import (
    AFTER_ALL_OWNERS,
    Answer,
    Statement,
    Write,
    lock_topic,
    raise_topic,
)

# After every session: of all that a transaction locks, this is what others wait for most.
_KEY = (AFTER_ALL_OWNERS, TRUST_TOPIC)

_RAISE = raise_topic(TRUST_TOPIC)
_LOCK = lock_topic(TRUST_TOPIC)
_NUMBER = f"(SELECT number FROM licet_changes WHERE topic = '{TRUST_TOPIC}')"  # noqa: S608 - a constant


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)})"


def _marks(columns: Sequence[str]) -> str:
    # The last column is the number, which no record brings along.
    return f"{', '.join('?' * (len(columns) - 1))}, {_NUMBER}"


def _later(column: str) -> str:
    old, new = f"licet_revocations.{column}", f"excluded.{column}"
    stands = f"licet_revocations.deleted_at_us IS NULL AND {old} > {new}"
    return f"{column} = CASE WHEN {stands} THEN {old} ELSE {new} END"


_NEW_REVOCATION = _insert("licet_revocations", REVOCATION_COLUMNS)
_REVOCATION_MARKS = _marks(REVOCATION_COLUMNS)
_OF_KEY = "kind = ? AND issuer_alias = ? AND value = ?"
_OR_RENEW = (
    "ON CONFLICT (kind, issuer_alias, value) DO UPDATE SET "
    "subject = CASE WHEN licet_revocations.deleted_at_us IS NULL "
    "THEN COALESCE(licet_revocations.subject, excluded.subject) ELSE excluded.subject END, "
    f"{_later('issued_before_us')}, {_later('expires_at_us')}, "
    "reason = excluded.reason, created_by = excluded.created_by, "
    "created_at_us = excluded.created_at_us, deleted_at_us = NULL, "
    "change_number = excluded.change_number"
)
_ADD_REVOCATION = f"{_NEW_REVOCATION} VALUES ({_REVOCATION_MARKS}) {_OR_RENEW}"
_ADD_UNLESS_KNOWN = (
    f"{_NEW_REVOCATION} VALUES ({_REVOCATION_MARKS}) "
    "ON CONFLICT (kind, issuer_alias, value) DO NOTHING"
)
# No other write has this number: the row that has it was inserted just now.
_ADD_WITH_IT = (
    f"{_NEW_REVOCATION} SELECT {_REVOCATION_MARKS} WHERE EXISTS "  # noqa: S608 - constants
    f"(SELECT 1 FROM licet_revocations WHERE {_OF_KEY} AND change_number = {_NUMBER}) {_OR_RENEW}"
)
_SELECT_REVOCATION = (
    f"SELECT {', '.join(REVOCATION_COLUMNS)} FROM licet_revocations "  # noqa: S608 - constants
    f"WHERE {_OF_KEY}"
)
_DELETE_REVOCATION = (
    f"UPDATE licet_revocations SET deleted_at_us = ?, change_number = {_NUMBER} "  # noqa: S608 - constants
    "WHERE id = ? AND deleted_at_us IS NULL AND expires_at_us > ?"
)
_FORGET_EXPIRED = "DELETE FROM licet_revocations WHERE expires_at_us < ?"

_ACTIVE = "revoked_at_us IS NULL AND (expires_at_us IS NULL OR expires_at_us > ?)"
_CREATE_ACCOUNT = (
    f"{_insert('licet_service_accounts', SERVICE_ACCOUNT_COLUMNS)} "  # noqa: S608 - constants
    f"SELECT {_marks(SERVICE_ACCOUNT_COLUMNS)} WHERE NOT EXISTS "
    f"(SELECT 1 FROM licet_service_accounts WHERE name = ? AND {_ACTIVE})"
)
# What becomes the old token: the current one, or, where that was ended, the old one that there is.
_OLD_END = "CASE WHEN token_digest IS NULL THEN old_expires_at_us ELSE expires_at_us END"
_OLD_ROTATOR = ", ".join(
    f"old_{name} = CASE WHEN token_digest IS NULL THEN old_{name} ELSE {name} END"
    for name in ("rotator_alias", "rotator_subject", "rotator_issued_at_us")
)
_NEW_TOKEN = tuple(field.name for field in fields(Rotation))
_ROTATE_ACCOUNT = (
    "UPDATE licet_service_accounts SET old_token_digest = COALESCE(token_digest, old_token_digest),"  # noqa: S608 - constants
    " old_expires_at_us = CASE WHEN COALESCE(token_digest, old_token_digest) IS NULL THEN NULL "
    f"WHEN ({_OLD_END}) < ? THEN ({_OLD_END}) ELSE ? END, {_OLD_ROTATOR}, "
    f"{', '.join(f'{name} = ?' for name in _NEW_TOKEN)}, change_number = {_NUMBER} "
    f"WHERE id = ? AND {_ACTIVE} AND NOT EXISTS (SELECT 1 FROM licet_service_accounts AS other "
    "WHERE other.name = licet_service_accounts.name AND other.id <> licet_service_accounts.id "
    "AND other.revoked_at_us IS NULL "
    "AND (other.expires_at_us IS NULL OR other.expires_at_us > ?))"
)
_END_TOKEN = (
    "UPDATE licet_service_accounts SET token_digest = NULL, token_prefix = '', "  # noqa: S608 - constants
    "rotator_alias = NULL, rotator_subject = NULL, rotator_issued_at_us = 0, "
    f"change_number = {_NUMBER} WHERE id = ? AND token_digest = ?"
)
_END_OLD_TOKEN = (
    "UPDATE licet_service_accounts SET old_token_digest = NULL, old_expires_at_us = NULL, "  # noqa: S608 - constants
    "old_rotator_alias = NULL, old_rotator_subject = NULL, old_rotator_issued_at_us = 0, "
    f"change_number = {_NUMBER} WHERE id = ? AND old_token_digest = ?"
)
_REVOKE_ACCOUNT = (
    f"UPDATE licet_service_accounts SET revoked_at_us = ?, change_number = {_NUMBER} "  # noqa: S608 - constants
    "WHERE id = ? AND revoked_at_us IS NULL"
)
_TOUCH_ACCOUNT = (
    "UPDATE licet_service_accounts SET last_used_at_us = ? "
    "WHERE id = ? AND (last_used_at_us IS NULL OR last_used_at_us < ?)"
)
_SELECT_ACCOUNT = (
    f"SELECT {', '.join(SERVICE_ACCOUNT_COLUMNS)} "  # noqa: S608 - constants
    "FROM licet_service_accounts WHERE id = ?"
)


def add_revocations(revocations: Sequence[RevocationRecord]) -> Write[Sequence[RevocationRecord]]:
    """Insert revocations, or renew those of the same key; read them."""
    adding = [Statement(_ADD_REVOCATION, _new_row(revocation)) for revocation in revocations]
    reading = [Statement(_SELECT_REVOCATION, _key(revocation)) for revocation in revocations]
    return Write(
        _KEY,
        (_RAISE, *adding, *reading),
        lambda answers: [revocation_record(a.rows[0]) for a in answers[1 + len(adding) :]],
    )


def use_once(used: RevocationRecord, revocations: Sequence[RevocationRecord]) -> Write[bool]:
    """Insert a revocation unless there is one of its key, and others only together with it."""
    first = Statement(_ADD_UNLESS_KNOWN, _new_row(used))
    others = (
        Statement(_ADD_WITH_IT, (*_new_row(revocation), *_key(used))) for revocation in revocations
    )
    return Write(_KEY, (_RAISE, first, *others), lambda answers: answers[1].touched > 0)


def delete_revocation(revocation_id: str, *, deleted_at_us: int) -> Write[bool]:
    """Mark a revocation that is in force as taken back."""
    check_values(deleted_at_us=deleted_at_us)
    deleting = Statement(_DELETE_REVOCATION, (deleted_at_us, revocation_id, deleted_at_us))
    return Write(_KEY, (_RAISE, deleting), lambda answers: answers[1].touched > 0)


def forget_expired(*, now_us: int) -> Write[int]:
    """Delete revocations that have expired."""
    deleting = Statement(_FORGET_EXPIRED, (within_columns(now_us),))
    return Write(_KEY, (_LOCK, deleting), lambda answers: answers[1].touched)


def create_service_account(account: ServiceAccountRecord) -> Write[bool]:
    """Insert an account unless an active one has its name."""
    row = service_account_row(account)[:-1]
    creating = Statement(_CREATE_ACCOUNT, (*row, account.name, account.created_at_us))
    return Write(_KEY, (_RAISE, creating), lambda answers: answers[1].touched > 0)


def rotate_service_account(
    account_id: str,
    *,
    rotation: Rotation,
    old_expires_at_us: int,
    now_us: int,
) -> Write[ServiceAccountRecord | None]:
    """Change the token of an active account, and read the account."""
    token = {name: getattr(rotation, name) for name in _NEW_TOKEN}
    check_values(**token, old_expires_at_us=old_expires_at_us)
    now_us = within_columns(now_us)
    parameters = (old_expires_at_us, old_expires_at_us, *token.values(), account_id, now_us, now_us)
    return _change_account(Statement(_ROTATE_ACCOUNT, parameters), account_id=account_id)


def end_service_token(account_id: str, *, token_digest: str) -> Write[ServiceAccountRecord | None]:
    """Take a token from an account, and read the account."""
    which = (account_id, token_digest)
    ending = Statement(_END_TOKEN, which), Statement(_END_OLD_TOKEN, which)
    return _change_account(*ending, account_id=account_id)


def revoke_service_account(
    account_id: str, *, revoked_at_us: int
) -> Write[ServiceAccountRecord | None]:
    """Mark an account as revoked, and read it."""
    check_values(revoked_at_us=revoked_at_us)
    revoking = Statement(_REVOKE_ACCOUNT, (revoked_at_us, account_id))
    return _change_account(revoking, account_id=account_id, none_if_unchanged=False)


def touch_service_account(account_id: str, *, last_used_at_us: int) -> Write[None]:
    """Note a later use of an account."""
    check_values(last_used_at_us=last_used_at_us)
    touching = Statement(_TOUCH_ACCOUNT, (last_used_at_us, account_id, last_used_at_us))
    return Write(_KEY, (_LOCK, touching), lambda _: None)


def _change_account(
    *changing: Statement, account_id: str, none_if_unchanged: bool = True
) -> Write[ServiceAccountRecord | None]:
    def conclude(answers: Sequence[Answer]) -> ServiceAccountRecord | None:
        _, *changed, read = answers
        is_changed = any(answer.touched for answer in changed)
        if not read.rows or (none_if_unchanged and not is_changed):
            return None
        return service_account_record(read.rows[0])

    return Write(_KEY, (_RAISE, *changing, Statement(_SELECT_ACCOUNT, (account_id,))), conclude)


def _new_row(revocation: RevocationRecord) -> tuple[Any, ...]:
    """Without its number, which the database gives; in force, whatever the record says."""
    values = dict(zip(REVOCATION_COLUMNS, revocation_row(revocation), strict=True))
    return tuple({**values, "deleted_at_us": None}.values())[:-1]


def _key(revocation: RevocationRecord) -> tuple[str, str, str]:
    return (revocation.kind.value, revocation.issuer_alias, revocation.value)
