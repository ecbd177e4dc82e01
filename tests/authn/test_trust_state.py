from __future__ import annotations

from dataclasses import replace

import pytest

from licet.authn.service_accounts import service_principal
from licet.authn.trust_state import TrustState
from licet.db.trust_records import RevocationKind, TrustChanges
from tests.authn.parts import NOW, NOW_US, Clock, account, alice, revocation

TOKEN = RevocationKind.TOKEN


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> TrustState:
    return TrustState(max_age_seconds=5, now=clock, monotonic=Clock(100))


def test_it_is_current_when_it_was_read_and_not_too_long_ago(state: TrustState) -> None:
    assert not state.is_current
    state.confirm(read_at=94.999)
    assert not state.is_current
    state.confirm(read_at=95)
    assert state.is_current


def test_an_earlier_reading_does_not_make_it_older(state: TrustState) -> None:
    state.confirm(read_at=99)
    state.confirm(read_at=10)
    assert state.is_current


def test_it_takes_over_what_changed(state: TrustState) -> None:
    state.apply(
        TrustChanges(
            number=7,
            revocations=(revocation(TOKEN, "t-1"),),
            service_accounts=(account("digest"),),
        )
    )
    assert state.number == 7
    assert state.lost(alice(token_id="t-1")) == "the token was revoked"
    assert state.lost(service_principal(account("digest"), "digest")) is None
    assert state.accounts.find("digest") is not None


def test_what_it_takes_over_is_all_it_knows_and_no_younger(state: TrustState) -> None:
    other = TrustState()
    other.apply(
        TrustChanges(
            number=3,
            revocations=(revocation(TOKEN, "t-2"),),
            service_accounts=(account("other"),),
        )
    )
    state.apply(
        TrustChanges(
            number=7,
            revocations=(revocation(TOKEN, "t-1"),),
            service_accounts=(account("digest", id="account-2"),),
        )
    )
    other.confirm(read_at=100)
    state.take_over(other)
    assert not state.is_current
    assert state.number == 3
    assert state.lost(alice(token_id="t-1")) is None
    assert state.lost(alice(token_id="t-2")) == "the token was revoked"
    assert state.accounts.find("digest") is None
    assert state.accounts.find("other") is not None


def test_what_has_expired_is_forgotten_a_day_later(state: TrustState, clock: Clock) -> None:
    state.apply(TrustChanges(number=1, revocations=(revocation(TOKEN, "t-1"),)))
    clock.now += 86_400
    assert state.lost(alice(token_id="t-1")) is None
    clock.now += 86_399
    state.forget_expired()
    assert len(state.revocations) == 1
    clock.now += 1
    state.forget_expired()
    assert len(state.revocations) == 0


def test_a_clock_that_was_ahead_for_a_moment_takes_no_revocation_away(
    state: TrustState, clock: Clock
) -> None:
    revoked = revocation(TOKEN, "t-1", expires_at_us=NOW_US + 60_000_000)
    state.apply(TrustChanges(number=1, revocations=(revoked,)))
    clock.now += 7200
    state.forget_expired()
    clock.now = NOW + 1
    assert state.lost(alice(token_id="t-1")) == "the token was revoked"


def test_the_expiry_of_a_token_is_not_its_business(state: TrustState, clock: Clock) -> None:
    clock.now += 9000
    assert state.lost(alice(expires_at=NOW + 1)) is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, None),
        ({"revoked_at_us": NOW_US}, "the service account was revoked"),
        ({"expires_at_us": NOW_US}, "the service account has expired"),
        ({"id": "account-2"}, "the service account is not known"),
    ],
)
def test_a_service_account_is_what_is_known_of_it_now(
    state: TrustState, given: dict[str, object], why: str | None
) -> None:
    principal = service_principal(account("digest"), "digest")
    state.apply(TrustChanges(number=1, service_accounts=(account("digest", **given),)))
    assert state.lost(principal) == why


def test_what_a_token_has_open_ends_with_the_token(state: TrustState, clock: Clock) -> None:
    rotated = account("new", old_token_digest="old", old_expires_at_us=NOW_US + 60_000_000)
    state.apply(TrustChanges(number=1, service_accounts=(rotated,)))
    old, new, none = (service_principal(rotated, digest) for digest in ("old", "new", "older"))
    ended = "the service account has another token now"
    assert [state.lost(each) for each in (old, new, none)] == [None, None, ended]
    clock.now += 60
    assert [state.lost(each) for each in (old, new)] == [ended, None]
    assert state.lost(replace(new, key_id=None)) == ended


def test_what_a_token_has_open_ends_with_whoever_rotated_to_it(state: TrustState) -> None:
    rotated = account(
        "new",
        rotator_alias="default",
        rotator_subject="bob",
        rotator_issued_at_us=NOW_US,
        old_token_digest="old",
        old_expires_at_us=NOW_US + 60_000_000,
    )
    gone = revocation(RevocationKind.SUBJECT, "bob")
    state.apply(TrustChanges(number=1, revocations=(gone,), service_accounts=(rotated,)))
    ended = "whoever rotated the service account was revoked"
    old, new = (service_principal(rotated, digest) for digest in ("old", "new"))
    assert [state.lost(each) for each in (old, new)] == [None, ended]


def test_a_revoked_token_is_no_service_account_of_that_id(state: TrustState) -> None:
    state.apply(
        TrustChanges(
            number=1,
            revocations=(revocation(TOKEN, "account-1", issuer_alias="@service"),),
            service_accounts=(account("digest"),),
        )
    )
    assert state.lost(service_principal(account("digest"), "digest")) is None
