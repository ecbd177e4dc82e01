"""Service accounts, found by what people call them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from licet.db.trust_records import ServiceAccountQuery, ServiceAccountRecord
from licet.errors import NotFoundError

if TYPE_CHECKING:
    from licet.db.trust_base import TrustStore

_PAGE = 500
_MICROSECONDS = 1_000_000


async def find_account(store: TrustStore, name_or_id: str, *, now: float) -> ServiceAccountRecord:
    """The account of that id, else the active one of that name, else the latest that expired.

    ``now`` is epoch seconds. Several may have one name: one that is active, and those before it.

    Raises:
        NotFoundError: there is none that is not revoked.
    """
    account = await store.get_service_account(name_or_id)
    if account is not None:
        return account
    expired = None
    async for found in every_account(store):
        if found.name != name_or_id:
            continue
        if not has_expired(found, now=now):
            return found
        expired = expired or found
    if expired is None:
        raise NotFoundError(
            "Service account",
            name_or_id,
            f"Service account '{name_or_id}' not found: none of that name or id is in use",
        )
    return expired


async def every_account(
    store: TrustStore, *, include_revoked: bool = False
) -> AsyncIterator[ServiceAccountRecord]:
    """All accounts, the latest first."""
    page, seen = 1, 0
    while True:
        found = await store.list_service_accounts(
            ServiceAccountQuery(include_revoked=include_revoked, page=page, limit=_PAGE)
        )
        for account in found.service_accounts:
            yield account
        seen += len(found.service_accounts)
        if seen >= found.total_count or not found.service_accounts:
            return
        page += 1


def has_expired(account: ServiceAccountRecord, *, now: float) -> bool:
    """Whether its time is over. ``now`` is epoch seconds."""
    return account.expires_at_us is not None and account.expires_at_us <= now * _MICROSECONDS
