"""RevocationList: what was taken back, held in memory so that each request can be checked."""

from __future__ import annotations

from collections.abc import Iterable

from licet.authn.principal import Principal
from licet.db.trust_records import RevocationKind, RevocationRecord

_MICROSECONDS = 1_000_000

_Key = tuple[RevocationKind, str, str]


class RevocationList:
    """The revocations that are in force, as far as the database has told."""

    def __init__(self) -> None:
        self._known: dict[_Key, RevocationRecord] = {}
        # Of logouts that name a session and its subject: tokens of theirs may name no session.
        self._of_subject: dict[tuple[str, str], _EndedSessions] = {}

    def __len__(self) -> int:
        return len(self._known)

    def apply(self, changed: Iterable[RevocationRecord]) -> None:
        """Take over rows that changed; what was taken back is forgotten."""
        for revocation in changed:
            # What stood under its key goes in any case: its subject may have been another.
            self._drop(_key(revocation))
            if revocation.deleted_at_us is None:
                self._put(revocation)

    def forget_expired(self, *, now: float) -> None:
        """Forget what has expired. ``now`` is epoch seconds."""
        for key in [key for key, known in self._known.items() if _expired(known, now)]:
            self._drop(key)

    def reason(self, principal: Principal, *, now: float) -> str | None:
        """Why the principal's authority was taken back; None: it was not."""
        if not self._known:
            return None
        alias = principal.issuer_alias
        for kind, value, reason in (
            (RevocationKind.TOKEN, principal.token_id, "the token was revoked"),
            (RevocationKind.KEY, principal.key_id, "the key that signed the token was revoked"),
            (RevocationKind.SESSION, principal.sid, "the login session has ended"),
        ):
            if value and self.holds(kind, alias, value, now=now):
                return reason
        return self._subject_reason(principal, now)

    def holds(self, kind: RevocationKind, alias: str, value: str, *, now: float) -> bool:
        """Whether there is a revocation of that kind and value. Cutoffs are not looked at."""
        found = self._known.get((kind, alias, value))
        return found is not None and not _expired(found, now)

    def revoked_since(self, alias: str, subject: str, *, since: float, now: float) -> bool:
        """Whether a subject was revoked (not merely logged out) at ``since`` or later."""
        found = self._known.get((RevocationKind.SUBJECT, alias, subject))
        return found is not None and not _expired(found, now) and not _issued_after(since, found)

    def _subject_reason(self, principal: Principal, now: float) -> str | None:
        alias, subject = principal.issuer_alias, principal.subject
        for kind, reason in (
            (RevocationKind.SUBJECT, "what was issued to the subject before was revoked"),
            (RevocationKind.LOGOUT, "the subject has logged out"),
        ):
            found = self._known.get((kind, alias, subject))
            if found is not None and _hits(found, principal, now):
                return reason
        if principal.sid is None:
            ended = self._of_subject.get((alias, subject))
            if ended is not None and ended.hit(principal, now):
                return "the subject has logged out of a session, and the token names none"
        return None

    def _put(self, revocation: RevocationRecord) -> None:
        key = _key(revocation)
        self._known[key] = revocation
        subject = _session_subject(revocation)
        if subject is not None:
            self._of_subject.setdefault(subject, _EndedSessions()).put(revocation)

    def _drop(self, key: _Key) -> None:
        known = self._known.pop(key, None)
        subject = None if known is None else _session_subject(known)
        if subject is None:
            return
        ended = self._of_subject[subject]
        ended.drop(key)
        if not ended:
            del self._of_subject[subject]


class _EndedSessions:
    """The sessions that one subject has logged out of. Of a robot there may be thousands."""

    def __init__(self) -> None:
        self._by_key: dict[_Key, RevocationRecord] = {}
        # The one with the latest cutoff, which mostly says it all; None: it has to be found.
        self._latest: RevocationRecord | None = None

    def __len__(self) -> int:
        return len(self._by_key)

    def put(self, revocation: RevocationRecord) -> None:
        self._by_key[_key(revocation)] = revocation
        latest = self._latest
        if latest is not None and latest.issued_before_us <= revocation.issued_before_us:
            self._latest = revocation

    def drop(self, key: _Key) -> None:
        if self._by_key.pop(key) is self._latest:
            self._latest = None

    def hit(self, principal: Principal, now: float) -> bool:
        if self._latest is None:
            self._latest = max(self._by_key.values(), key=lambda known: known.issued_before_us)
        if _issued_after(principal.issued_at, self._latest):
            return False
        if not _expired(self._latest, now):
            return True
        return any(_hits(known, principal, now) for known in self._by_key.values())


def _key(revocation: RevocationRecord) -> _Key:
    return (revocation.kind, revocation.issuer_alias, revocation.value)


def _session_subject(revocation: RevocationRecord) -> tuple[str, str] | None:
    if revocation.kind is not RevocationKind.SESSION or revocation.subject is None:
        return None
    return (revocation.issuer_alias, revocation.subject)


def _hits(revocation: RevocationRecord, principal: Principal, now: float) -> bool:
    return not _expired(revocation, now) and not _issued_after(principal.issued_at, revocation)


def _issued_after(issued_at: float | None, revocation: RevocationRecord) -> bool:
    # Who does not say when counts as before; so does the very instant, as most say whole seconds.
    # Rounded, because a float of seconds is seldom a whole number of microseconds.
    return issued_at is not None and round(issued_at * _MICROSECONDS) > revocation.issued_before_us


def _expired(revocation: RevocationRecord, now: float) -> bool:
    return revocation.expires_at_us <= now * _MICROSECONDS
