"""The trust store of InMemoryDb."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import TypeVar

from licet.db.account_tokens import rotated, without_token
from licet.db.codec import storable
from licet.db.in_memory_topics import InMemoryTopics
from licet.db.trust_base import TrustStore
from licet.db.trust_codec import check_values, revocation_row, service_account_row
from licet.db.trust_records import (
    TRUST_TOPIC,
    RevocationPage,
    RevocationQuery,
    RevocationRecord,
    Rotation,
    ServiceAccountPage,
    ServiceAccountQuery,
    ServiceAccountRecord,
    TrustChanges,
)
from licet.errors import StorageError

_Key = tuple[str, str, str]


def in_memory_trust(topics: InMemoryTopics) -> TrustStore:
    """Revocations and service accounts in this process alone."""
    return _InMemoryTrust(topics)


class _InMemoryTrust(TrustStore):
    def __init__(self, topics: InMemoryTopics) -> None:
        self._topics = topics
        self._lock = threading.Lock()
        self._revocations: dict[_Key, RevocationRecord] = {}
        self._accounts: dict[str, ServiceAccountRecord] = {}

    @property
    def reconnects(self) -> int:
        return 0

    async def everything(self) -> TrustChanges:
        return await self.changes(after=0)

    async def changes(self, *, after: int) -> TrustChanges:
        with self._lock:
            return TrustChanges(
                number=self._topics.number(TRUST_TOPIC),
                revocations=_changed(self._revocations.values(), after),
                service_accounts=_changed(self._accounts.values(), after),
            )

    async def add_revocations(
        self, revocations: Sequence[RevocationRecord]
    ) -> Sequence[RevocationRecord]:
        if not revocations:
            return ()
        with self._lock:
            self._add(revocations)
            return [self._revocations[_key(revocation)] for revocation in revocations]

    async def use_once(
        self, used: RevocationRecord, revocations: Sequence[RevocationRecord]
    ) -> bool:
        with self._lock:
            if _key(used) in self._revocations:
                _check((used, *revocations))
                return False
            self._add((used, *revocations))
            return True

    async def list_revocations(self, query: RevocationQuery) -> RevocationPage:
        with self._lock:
            kept = list(self._revocations.values())
        found = sorted(
            (r for r in kept if _in_force(r, query.now_us) and _fits(r, query)),
            key=lambda r: (r.created_at_us, r.id),
            reverse=True,
        )
        return RevocationPage(
            revocations=tuple(found[_slice(query.page, query.limit)]), total_count=len(found)
        )

    async def delete_revocation(self, revocation_id: str, *, deleted_at_us: int) -> bool:
        if not storable(revocation_id):
            return False
        check_values(deleted_at_us=deleted_at_us)
        with self._lock:
            for key, revocation in self._revocations.items():
                if revocation.id == revocation_id and _in_force(revocation, deleted_at_us):
                    self._revocations[key] = replace(
                        revocation, deleted_at_us=deleted_at_us, change_number=self._raised()
                    )
                    return True
        return False

    async def create_service_account(self, account: ServiceAccountRecord) -> bool:
        service_account_row(account)
        with self._lock:
            if self._active(account.name, account.created_at_us):
                return False
            if account.id in self._accounts:
                raise StorageError(f"a service account of the id {account.id!r} exists already")
            self._accounts[account.id] = replace(account, change_number=self._raised())
            return True

    async def rotate_service_account(
        self,
        account_id: str,
        *,
        rotation: Rotation,
        old_expires_at_us: int,
        now_us: int,
    ) -> ServiceAccountRecord | None:
        if not storable(account_id):
            return None
        check_values(**asdict(rotation), old_expires_at_us=old_expires_at_us)
        with self._lock:
            account = self._accounts.get(account_id)
            if account is None or self._active(account.name, now_us) != [account]:
                return None
            changed = rotated(account, rotation, old_expires_at_us=old_expires_at_us)
            self._accounts[account_id] = replace(changed, change_number=self._raised())
            return self._accounts[account_id]

    async def end_service_token(
        self, account_id: str, *, token_digest: str
    ) -> ServiceAccountRecord | None:
        with self._lock:
            account = self._accounts.get(account_id)
            if account is None:
                return None
            changed = without_token(account, token_digest)
            if changed is account:
                return None
            self._accounts[account_id] = replace(changed, change_number=self._raised())
            return self._accounts[account_id]

    async def revoke_service_account(
        self, account_id: str, *, revoked_at_us: int
    ) -> ServiceAccountRecord | None:
        if not storable(account_id):
            return None
        check_values(revoked_at_us=revoked_at_us)
        with self._lock:
            account = self._accounts.get(account_id)
            if account is None or account.revoked_at_us is not None:
                return account
            self._accounts[account_id] = replace(
                account, revoked_at_us=revoked_at_us, change_number=self._raised()
            )
            return self._accounts[account_id]

    async def get_service_account(self, account_id: str) -> ServiceAccountRecord | None:
        with self._lock:
            return self._accounts.get(account_id)

    async def find_service_account(self, token_digest: str) -> ServiceAccountRecord | None:
        with self._lock:
            kept = sorted(self._accounts.values(), key=lambda account: account.id)
        current = (a for a in kept if a.token_digest == token_digest)
        old = (a for a in kept if a.old_token_digest == token_digest)
        return next(current, None) or next(old, None)

    async def list_service_accounts(self, query: ServiceAccountQuery) -> ServiceAccountPage:
        with self._lock:
            kept = sorted(self._accounts.values(), key=lambda account: account.id)
        found = [
            account
            for account in kept
            if (query.include_revoked or account.revoked_at_us is None)
            and (query.ids is None or account.id in query.ids)
        ]
        by = query.sort_by if query.sort_by == "name" else f"{query.sort_by}_us"
        given = [account for account in found if getattr(account, by) is not None]
        given.sort(key=lambda account: getattr(account, by), reverse=query.descending)
        given += [account for account in found if getattr(account, by) is None]
        return ServiceAccountPage(
            service_accounts=tuple(given[_slice(query.page, query.limit)]), total_count=len(given)
        )

    async def touch_service_account(self, account_id: str, *, last_used_at_us: int) -> None:
        if not storable(account_id):
            return
        check_values(last_used_at_us=last_used_at_us)
        with self._lock:
            account = self._accounts.get(account_id)
            if account is not None:
                before = account.last_used_at_us
                latest = last_used_at_us if before is None else max(before, last_used_at_us)
                self._accounts[account_id] = replace(account, last_used_at_us=latest)

    async def forget_expired(self, *, now_us: int) -> int:
        with self._lock:
            expired = [k for k, r in self._revocations.items() if r.expires_at_us < now_us]
            for key in expired:
                del self._revocations[key]
        return len(expired)

    def _raised(self) -> int:
        return self._topics.raised(TRUST_TOPIC)

    def _add(self, revocations: Sequence[RevocationRecord]) -> None:
        """All of them or, where one cannot be stored, none."""
        _check(revocations)
        key_of_id = {known.id: key for key, known in self._revocations.items()}
        added: dict[_Key, RevocationRecord] = {}
        for revocation in revocations:
            key = _key(revocation)
            known = added.get(key) or self._revocations.get(key)
            if known is None and key_of_id.setdefault(revocation.id, key) != key:
                raise StorageError(f"a revocation of the id {revocation.id!r} exists already")
            added[key] = _renewed(known, revocation)
        number = self._raised()
        for key, revocation in added.items():
            self._revocations[key] = replace(revocation, change_number=number)

    def _active(self, name: str, now_us: int) -> list[ServiceAccountRecord]:
        return [
            account
            for account in self._accounts.values()
            if account.name == name
            and account.revoked_at_us is None
            and (account.expires_at_us is None or account.expires_at_us > now_us)
        ]


_Row = TypeVar("_Row", RevocationRecord, ServiceAccountRecord)


def _changed(rows: Iterable[_Row], after: int) -> tuple[_Row, ...]:
    found = (row for row in rows if row.change_number > after)
    return tuple(sorted(found, key=lambda row: (row.change_number, row.id)))


def _check(revocations: Iterable[RevocationRecord]) -> None:
    for revocation in revocations:
        revocation_row(revocation)


def _key(revocation: RevocationRecord) -> _Key:
    return (revocation.kind.value, revocation.issuer_alias, revocation.value)


def _renewed(known: RevocationRecord | None, given: RevocationRecord) -> RevocationRecord:
    if known is None or known.deleted_at_us is not None:
        return replace(given, id=given.id if known is None else known.id, deleted_at_us=None)
    return replace(
        given,
        id=known.id,
        subject=given.subject if known.subject is None else known.subject,
        issued_before_us=max(known.issued_before_us, given.issued_before_us),
        expires_at_us=max(known.expires_at_us, given.expires_at_us),
        deleted_at_us=None,
    )


def _in_force(revocation: RevocationRecord, now_us: int) -> bool:
    return revocation.deleted_at_us is None and revocation.expires_at_us > now_us


def _fits(revocation: RevocationRecord, query: RevocationQuery) -> bool:
    return (
        query.kind in (None, revocation.kind)
        and query.issuer_alias in (None, revocation.issuer_alias)
        and query.value in (None, revocation.value)
    )


def _slice(page: int, limit: int) -> slice:
    limit = max(0, limit)
    start = max(0, page - 1) * limit
    return slice(start, start + limit)
