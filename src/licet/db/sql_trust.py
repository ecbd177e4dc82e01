"""The trust store of the SQL databases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from licet.db import trust_writes
from licet.db.codec import storable
from licet.db.sql_store import SqlWork
from licet.db.trust_base import TrustStore
from licet.db.trust_codec import service_account_record
from licet.db.trust_records import (
    RevocationPage,
    RevocationQuery,
    RevocationRecord,
    Rotation,
    ServiceAccountPage,
    ServiceAccountQuery,
    ServiceAccountRecord,
    TrustChanges,
)

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.engine import Connection

T = TypeVar("T")


class TrustWork(SqlWork, Protocol):
    """What a trust store asks of its database. No user's query keeps these two waiting."""

    @property
    def reconnects(self) -> int:
        """How often ``follow`` had to connect anew."""

    async def follow(self, query: Callable[[Connection], T]) -> T:
        """Answer a query of who follows changes."""

    async def look_up(self, query: Callable[[Connection], T]) -> T:
        """Answer a query on which it depends who somebody is."""


def sql_trust(db: TrustWork) -> TrustStore:
    """Revocations and service accounts of a SQL database."""
    return _SqlTrust(db)


@dataclass(frozen=True, slots=True)
class _SqlTrust(TrustStore):
    db: TrustWork

    @property
    def reconnects(self) -> int:
        return self.db.reconnects

    async def everything(self) -> TrustChanges:
        from licet.db import trust_reads

        return await self.db.look_up(lambda c: trust_reads.trust_changes(c, after=0))

    async def changes(self, *, after: int) -> TrustChanges:
        from licet.db import trust_reads

        return await self.db.follow(lambda c: trust_reads.trust_changes(c, after=after))

    async def add_revocations(
        self, revocations: Sequence[RevocationRecord]
    ) -> Sequence[RevocationRecord]:
        if not revocations:
            return ()
        return await self.db.write(trust_writes.add_revocations(revocations))

    async def use_once(
        self, used: RevocationRecord, revocations: Sequence[RevocationRecord]
    ) -> bool:
        return await self.db.write(trust_writes.use_once(used, revocations))

    async def list_revocations(self, query: RevocationQuery) -> RevocationPage:
        if not storable(query.issuer_alias, query.value):
            return RevocationPage(revocations=(), total_count=0)
        from licet.db import trust_reads

        return await self.db.read(lambda c: trust_reads.revocation_page(c, query))

    async def delete_revocation(self, revocation_id: str, *, deleted_at_us: int) -> bool:
        if not storable(revocation_id):
            return False
        return await self.db.write(
            trust_writes.delete_revocation(revocation_id, deleted_at_us=deleted_at_us)
        )

    async def create_service_account(self, account: ServiceAccountRecord) -> bool:
        return await self.db.write(trust_writes.create_service_account(account))

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
        return await self.db.write(
            trust_writes.rotate_service_account(
                account_id,
                rotation=rotation,
                old_expires_at_us=old_expires_at_us,
                now_us=now_us,
            )
        )

    async def end_service_token(
        self, account_id: str, *, token_digest: str
    ) -> ServiceAccountRecord | None:
        if not storable(account_id, token_digest):
            return None
        return await self.db.write(
            trust_writes.end_service_token(account_id, token_digest=token_digest)
        )

    async def revoke_service_account(
        self, account_id: str, *, revoked_at_us: int
    ) -> ServiceAccountRecord | None:
        if not storable(account_id):
            return None
        return await self.db.write(
            trust_writes.revoke_service_account(account_id, revoked_at_us=revoked_at_us)
        )

    async def get_service_account(self, account_id: str) -> ServiceAccountRecord | None:
        if not storable(account_id):
            return None
        from licet.db import trust_reads

        return await self._first(trust_reads.account_of_id(account_id))

    async def find_service_account(self, token_digest: str) -> ServiceAccountRecord | None:
        if not storable(token_digest):
            return None
        from licet.db import trust_reads

        return await self._first(trust_reads.accounts_of_digest(token_digest))

    async def list_service_accounts(self, query: ServiceAccountQuery) -> ServiceAccountPage:
        from licet.db import trust_reads

        return await self.db.read(lambda c: trust_reads.service_account_page(c, query))

    async def touch_service_account(self, account_id: str, *, last_used_at_us: int) -> None:
        if storable(account_id):
            await self.db.write(
                trust_writes.touch_service_account(account_id, last_used_at_us=last_used_at_us)
            )

    async def forget_expired(self, *, now_us: int) -> int:
        return await self.db.write(trust_writes.forget_expired(now_us=now_us))

    async def _first(self, statement: Select[Any]) -> ServiceAccountRecord | None:
        row = await self.db.look_up(lambda connection: connection.execute(statement).first())
        return None if row is None else service_account_record(row)
