"""Whoever made something takes it along, by when their token was issued that they did it with."""

from __future__ import annotations

import pytest

from licet.authn.makers import Maker, creator_of, rotators_of
from licet.authn.revocation import RevocationList
from licet.db.trust_records import RevocationKind, RevocationRecord
from tests.authn.parts import NOW, NOW_US, account, alice, revocation

BOB = Maker("corp", "bob", NOW_US)


def gone(subject: str = "bob", alias: str = "corp", **given: object) -> RevocationRecord:
    return revocation(RevocationKind.SUBJECT, subject, issuer_alias=alias, **given)


@pytest.mark.parametrize(
    ("revoked", "maker", "hit"),
    [
        (gone(), BOB, True),
        (gone(issued_before_us=NOW_US + 1), BOB, True),
        (gone(issued_before_us=NOW_US - 1), BOB, False),
        (gone(issued_before_us=1), Maker("corp", "bob"), True),
        (gone("alice"), BOB, False),
        (gone(alias="other"), BOB, False),
        (gone(), Maker(None, None), False),
        (gone(), Maker("corp", None), False),
        (gone(), Maker(None, "bob"), False),
    ],
)
def test_who_is_revoked_takes_along_what_they_made(
    revoked: RevocationRecord, maker: Maker, *, hit: bool
) -> None:
    known = RevocationList()
    known.apply([revoked])
    assert maker.was_revoked(known, now=NOW) is hit
    assert maker.is_hit_by(revoked) is hit


@pytest.mark.parametrize("part_us", [0, 1, 123_457, 333_333, 999_999])
def test_the_very_instant_counts_as_before(part_us: int) -> None:
    # A float of seconds is seldom a whole number of microseconds.
    maker = Maker.of(alice(issued_at=NOW + part_us / 1_000_000))
    assert maker == Maker("default", "alice", NOW_US + part_us)
    for cutoff_us, hit in ((part_us, True), (part_us - 1, False)):
        revoked = gone("alice", "default", issued_before_us=NOW_US + cutoff_us)
        known = RevocationList()
        known.apply([revoked])
        assert maker.was_revoked(known, now=NOW) is maker.is_hit_by(revoked) is hit


def test_who_does_not_say_when_their_token_was_issued_counts_as_before() -> None:
    assert Maker.of(alice(issued_at=None)) == Maker("default", "alice", 0)


def test_the_operator_is_nobody_who_could_be_revoked() -> None:
    assert Maker.of(None) == Maker(None, None)


def test_an_account_and_each_of_its_tokens_have_a_maker() -> None:
    made = account(
        "new",
        creator_alias="corp",
        creator_subject="bob",
        creator_issued_at_us=1,
        rotator_alias="corp",
        rotator_subject="carol",
        rotator_issued_at_us=2,
        old_token_digest="old",
        old_rotator_alias="other",
        old_rotator_subject="dora",
        old_rotator_issued_at_us=3,
    )
    assert creator_of(made) == Maker("corp", "bob", 1)
    assert rotators_of(made) == {"new": Maker("corp", "carol", 2), "old": Maker("other", "dora", 3)}


def test_a_token_that_was_ended_has_none() -> None:
    assert rotators_of(account("first")) == {"first": Maker(None, None)}
    assert rotators_of(account(None)) == {}
