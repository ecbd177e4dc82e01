"""The TrustStore protocol: revocations and service accounts, as a database keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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


class TrustStore(Protocol):
    """What an organisation trusts no more, and which machines it lets in.

    No access is carried: who may call these methods is decided before, by scope. Every method may
    raise ``StorageError``. Every change raises the number of ``TRUST_TOPIC`` in its transaction;
    ``touch_service_account`` and ``forget_expired`` change nothing that a replica has to know. A
    call that ends up changing nothing may raise the number too.
    """

    @property
    def reconnects(self) -> int:
        """How often ``changes`` and ``watch`` had to connect to the database anew.

        What they read from then may be another server, one that knows less (a failover, a backup):
        its numbers may be those of other changes. Whoever follows changes reads everything then.
        """

    async def everything(self) -> TrustChanges:
        """As ``changes`` after 0, but while it reads it keeps no ``changes`` waiting."""

    async def changes(self, *, after: int) -> TrustChanges:
        """The rows that changed after that number; with 0 everything. A consistent reading."""

    async def add_revocations(
        self, revocations: Sequence[RevocationRecord]
    ) -> Sequence[RevocationRecord]:
        """Store revocations, in one transaction, and answer them as they stand then.

        Where one of the same (kind, issuer alias, value) exists it keeps its id; the later of the
        two cutoffs and expiries stand, a subject that was given stays; the new reason, creator and
        time of creation take the old ones' place. Of one that was taken back nothing but the id
        stays, so that a cutoff too late can be set right. What is given is stored as in force.
        """

    async def use_once(
        self, used: RevocationRecord, revocations: Sequence[RevocationRecord]
    ) -> bool:
        """Store ``used``, and with it the others, unless one of its key exists (deleted or not).

        False: it does, and nothing was written. One transaction: of two callers at once, in two
        processes, exactly one gets True.
        """

    async def list_revocations(self, query: RevocationQuery) -> RevocationPage:
        """One page of the revocations that are in force: neither taken back nor expired."""

    async def delete_revocation(self, revocation_id: str, *, deleted_at_us: int) -> bool:
        """Take a revocation back. False: none of that id is in force."""

    async def create_service_account(self, account: ServiceAccountRecord) -> bool:
        """Store a new account. False: an active one has its name; nothing was written.

        Active is what is neither revoked nor expired at the new one's ``created_at_us``.
        """

    async def rotate_service_account(
        self,
        account_id: str,
        *,
        rotation: Rotation,
        old_expires_at_us: int,
        now_us: int,
    ) -> ServiceAccountRecord | None:
        """Give an account another token, and answer the account.

        The token that it had stays good until ``old_expires_at_us``, or until its own expiry where
        that comes first. An older one ends now; where the current one was ended, that is the token
        that it had. None: there is no such account, or it is revoked or expired at ``now_us``, or
        another active one has its name.
        """

    async def end_service_token(
        self, account_id: str, *, token_digest: str
    ) -> ServiceAccountRecord | None:
        """End a token of an account for good, the current or the old one; answer the account.

        The other one stays as it is. None: there is no such account, or it has no such token.
        """

    async def revoke_service_account(
        self, account_id: str, *, revoked_at_us: int
    ) -> ServiceAccountRecord | None:
        """Revoke an account and answer it. One that was revoked stays as it is. None: unknown."""

    async def get_service_account(self, account_id: str) -> ServiceAccountRecord | None:
        """One account, revoked or not."""

    async def find_service_account(self, token_digest: str) -> ServiceAccountRecord | None:
        """The account that a token's digest, the current or the old one, belongs to."""

    async def list_service_accounts(self, query: ServiceAccountQuery) -> ServiceAccountPage:
        """One page of accounts. Those without a value to sort by come last; ties go by id."""

    async def touch_service_account(self, account_id: str, *, last_used_at_us: int) -> None:
        """Remember when an account was used last. An earlier time than the stored one is lost."""

    async def forget_expired(self, *, now_us: int) -> int:
        """Delete revocations that expired before ``now_us``. Answers how many there were."""
