"""Who made a service account, and who had its tokens made: what it opens may end with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from licet.authn.principal import Principal
from licet.authn.revocation import RevocationList
from licet.db.trust_records import RevocationRecord, ServiceAccountRecord

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Maker:
    """Who made something, and when the token was issued with which they did (epoch microseconds).

    Not when they did: that is told by another clock, and may be after their revocation, where a
    request was held open or came to a replica that had not heard of it. 0: the token does not say.
    ``alias`` or ``subject`` None: the operator, or nobody.
    """

    alias: str | None
    subject: str | None
    issued_at_us: int = 0

    @classmethod
    def of(cls, principal: Principal | None) -> Maker:
        """Whoever asks; None: the operator at the command line."""
        if principal is None:
            return cls(None, None)
        # Rounded, because a float of seconds is seldom a whole number of microseconds.
        issued_at_us = round((principal.issued_at or 0.0) * _MICROSECONDS)
        return cls(principal.issuer_alias, principal.subject, issued_at_us)

    def was_revoked(self, revocations: RevocationList, *, now: float) -> bool:
        """Whether they were, as a subject, since their token was issued. ``now``: epoch seconds."""
        if self.alias is None or self.subject is None:
            return False
        since = self.issued_at_us / _MICROSECONDS
        return revocations.revoked_since(self.alias, self.subject, since=since, now=now)

    def is_hit_by(self, revocation: RevocationRecord) -> bool:
        """Whether a subject's revocation takes along what they made."""
        return (self.alias, self.subject) == (
            revocation.issuer_alias,
            revocation.value,
        ) and self.issued_at_us <= revocation.issued_before_us


def creator_of(account: ServiceAccountRecord) -> Maker:
    """Who made the account."""
    return Maker(account.creator_alias, account.creator_subject, account.creator_issued_at_us)


def rotators_of(account: ServiceAccountRecord) -> Mapping[str, Maker]:
    """Who had its tokens made by a rotation, by their digests; nobody had its first one."""
    current = Maker(account.rotator_alias, account.rotator_subject, account.rotator_issued_at_us)
    old = Maker(
        account.old_rotator_alias, account.old_rotator_subject, account.old_rotator_issued_at_us
    )
    found = ((account.token_digest, current), (account.old_token_digest, old))
    return {digest: maker for digest, maker in found if digest is not None}
