"""The revocations in memory against the plainest thing that could be said of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from licet.authn.principal import Principal
from licet.authn.revocation import RevocationList
from licet.db.trust_records import RevocationKind, RevocationRecord

ALIASES = ("default", "other")
NAMES = ("a", "b")
INSTANTS = (0, 1, 2, 3)
KINDS = [kind for kind in RevocationKind if kind is not RevocationKind.SERVICE_ACCOUNT]

names = st.sampled_from(NAMES)
instants = st.sampled_from(INSTANTS)


@st.composite
def records(draw: st.DrawFn) -> RevocationRecord:
    kind, alias, value = draw(st.sampled_from(KINDS)), draw(st.sampled_from(ALIASES)), draw(names)
    return RevocationRecord(
        id=f"{kind}/{alias}/{value}",
        kind=kind,
        issuer_alias=alias,
        value=value,
        subject=draw(st.none() | names) if kind is RevocationKind.SESSION else None,
        issued_before_us=draw(instants) * 1_000_000,
        expires_at_us=draw(instants) * 1_000_000,
        created_at_us=0,
        deleted_at_us=draw(st.sampled_from([None, None, None, 1])),
    )


principals = st.builds(
    Principal,
    issuer_alias=st.sampled_from(ALIASES),
    issuer=st.none(),
    subject=names,
    token_id=names,
    key_id=st.none() | names,
    sid=st.none() | names,
    issued_at=st.none() | instants.map(float),
)


def is_hit(record: RevocationRecord, principal: Principal, now: float) -> bool:
    """What a single revocation says, as its documentation has it."""
    if record.issuer_alias != principal.issuer_alias or now * 1_000_000 >= record.expires_at_us:
        return False
    issued_at = principal.issued_at
    before = issued_at is None or issued_at * 1_000_000 <= record.issued_before_us
    match record.kind:
        case RevocationKind.TOKEN:
            return record.value == principal.token_id
        case RevocationKind.KEY:
            return record.value == principal.key_id
        case RevocationKind.SESSION if principal.sid is None:
            return record.subject == principal.subject and before
        case RevocationKind.SESSION:
            return record.value == principal.sid
        case _:
            return record.value == principal.subject and before


class Revoking(RuleBasedStateMachine):
    """Applies, takes back and forgets at random."""

    def __init__(self) -> None:
        super().__init__()
        self.revocations = RevocationList()
        self.model: dict[str, RevocationRecord] = {}
        self.now = 0.0

    @rule(changed=st.lists(records(), max_size=4))
    def apply(self, changed: list[RevocationRecord]) -> None:
        self.revocations.apply(changed)
        for record in changed:
            self.model[record.id] = record

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def forget(self) -> None:
        self.revocations.forget_expired(now=self.now)

    @rule(principal=principals)
    def ask(self, principal: Principal) -> None:
        hit = any(is_hit(record, principal, self.now) for record in self.in_force())
        assert (self.revocations.reason(principal, now=self.now) is not None) is hit

    @rule(alias=st.sampled_from(ALIASES), subject=names, since=instants)
    def ask_since(self, alias: str, subject: str, since: float) -> None:
        found: list[Any] = [
            record
            for record in self.in_force()
            if record.kind is RevocationKind.SUBJECT
            and (record.issuer_alias, record.value) == (alias, subject)
            and since * 1_000_000 <= record.issued_before_us
            and self.now * 1_000_000 < record.expires_at_us
        ]
        assert self.revocations.revoked_since(alias, subject, since=since, now=self.now) is bool(
            found
        )

    @invariant()
    def nothing_is_kept_that_was_taken_back(self) -> None:
        assert len(self.revocations) <= len(self.in_force())

    def in_force(self) -> list[RevocationRecord]:
        return [record for record in self.model.values() if record.deleted_at_us is None]


TestRevoking = Revoking.TestCase
