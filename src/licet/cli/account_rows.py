"""Service accounts as rows: what ``licet service-accounts list`` prints."""

from __future__ import annotations

from collections.abc import Sequence

from licet.authn.principal import owner_key
from licet.cli.dates import show_date
from licet.db.trust_records import ServiceAccountRecord
from licet.os.account_lookup import has_expired

HEADINGS = (
    *("NAME", "STATE", "SCOPES", "EXPIRES", "LAST USED", "TOKEN"),
    *("MADE", "BY", "ROTATED BY", "ID"),
)


def account_table(accounts: Sequence[ServiceAccountRecord], *, now: float) -> list[tuple[str, ...]]:
    """Rows under ``HEADINGS``. ``now`` is epoch seconds."""
    return [_cells(account, now) for account in accounts]


def describe_account(account: ServiceAccountRecord) -> str:
    """An account in a line: who it is, what it may, how long."""
    end = account.expires_at_us
    lasting = "it never expires" if end is None else f"it expires {show_date(end)}"
    scopes = ", ".join(account.scopes) or "nothing"
    old = account.old_expires_at_us
    rotated = "" if old is None else f" The old token is good until {show_date(old)}."
    return f"Service account {account.name!r} ({account.id}): {scopes}; {lasting}.{rotated}"


def _cells(account: ServiceAccountRecord, now: float) -> tuple[str, ...]:
    end, used = account.expires_at_us, account.last_used_at_us
    return (
        account.name,
        _state(account, now),
        " ".join(account.scopes),
        "never" if end is None else show_date(end),
        "never" if used is None else show_date(used),
        account.token_prefix or "none",
        show_date(account.created_at_us),
        _named(account.creator_alias, account.creator_subject),
        _rotator(account),
        account.id,
    )


def _state(account: ServiceAccountRecord, now: float) -> str:
    if account.revoked_at_us is not None:
        return "revoked"
    return "expired" if has_expired(account, now=now) else "active"


def _rotator(account: ServiceAccountRecord) -> str:
    if account.old_token_digest is None and account.rotator_subject is None:
        return ""
    return _named(account.rotator_alias, account.rotator_subject)


def _named(alias: str | None, subject: str | None) -> str:
    return "the operator" if alias is None or subject is None else owner_key(alias, subject)
