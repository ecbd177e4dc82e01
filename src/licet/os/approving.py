"""Deciding approvals: who may, and what comes of it.

Whoever asked for something does not decide about it, not even through an account that they made, or
that made them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from licet.authn.makers import creator_of, rotators_of
from licet.authn.principal import (
    SERVICE_ALIAS,
    SERVICE_PREFIX,
    Principal,
    PrincipalKind,
    owner_key,
)
from licet.errors import LicetError
from licet.os.account_lookup import every_account

if TYPE_CHECKING:
    from licet.db.trust_base import TrustStore
    from licet.db.trust_records import ServiceAccountRecord


class SelfApprovalError(LicetError):
    """Somebody was to decide about what they asked for themselves."""

    code = "self_approval"


async def require_another(
    trust: TrustStore, principal: Principal, initiator: Principal | None
) -> None:
    """Refuse whoever stands behind a run to decide about it.

    ``initiator`` is who began it; None: nobody was authenticated.

    Raises:
        SelfApprovalError: they are the same, as far as anybody can tell.
        StorageError: who made an account cannot be read.
    """
    if initiator is None:
        return
    if await _behind(trust, principal) & await _behind(trust, initiator):
        raise SelfApprovalError("Whoever began a run does not decide about its approvals")


async def _behind(trust: TrustStore, principal: Principal) -> frozenset[str]:
    """The owner keys of whoever acts through a principal."""
    acting = {owner_key(principal.issuer_alias, actor) for actor in principal.actors}
    found = {principal.owner, *acting}
    if principal.kind is not PrincipalKind.SERVICE:
        return frozenset(found)
    accounts = [account async for account in every_account(trust, include_revoked=True)]
    while more := {key for owner in found for key in _makers(owner, accounts)} - found:
        found |= more
    return frozenset(found)


def _makers(owner: str, accounts: Iterable[ServiceAccountRecord]) -> set[str]:
    """Who made the accounts of that name, or had their tokens made: names are used again."""
    return {
        owner_key(maker.alias, maker.subject)
        for account in accounts
        if owner == owner_key(SERVICE_ALIAS, f"{SERVICE_PREFIX}{account.name}")
        for maker in (creator_of(account), *rotators_of(account).values())
        if maker.alias is not None and maker.subject is not None
    }
