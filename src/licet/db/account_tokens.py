"""The tokens of a service account, as values: rotated, and ended."""

from __future__ import annotations

from dataclasses import asdict, replace

from licet.db.trust_records import Rotation, ServiceAccountRecord


def rotated(
    account: ServiceAccountRecord, rotation: Rotation, *, old_expires_at_us: int
) -> ServiceAccountRecord:
    """With another token; the one that it had is the old one now, if it had one."""
    kept = _with_old_token(account)
    end = kept.old_expires_at_us
    if kept.old_token_digest is None:
        end = None
    else:
        end = old_expires_at_us if end is None else min(end, old_expires_at_us)
    return replace(kept, **asdict(rotation), old_expires_at_us=end)


def without_token(account: ServiceAccountRecord, token_digest: str) -> ServiceAccountRecord:
    """Without the token of that digest, the current one or the old one."""
    if account.token_digest == token_digest:
        account = replace(
            account,
            token_digest=None,
            token_prefix="",
            rotator_alias=None,
            rotator_subject=None,
            rotator_issued_at_us=0,
        )
    if account.old_token_digest == token_digest:
        account = replace(
            account,
            old_token_digest=None,
            old_expires_at_us=None,
            old_rotator_alias=None,
            old_rotator_subject=None,
            old_rotator_issued_at_us=0,
        )
    return account


def _with_old_token(account: ServiceAccountRecord) -> ServiceAccountRecord:
    if account.token_digest is None:
        return account
    return replace(
        account,
        old_token_digest=account.token_digest,
        old_expires_at_us=account.expires_at_us,
        old_rotator_alias=account.rotator_alias,
        old_rotator_subject=account.rotator_subject,
        old_rotator_issued_at_us=account.rotator_issued_at_us,
    )
