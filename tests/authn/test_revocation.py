from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authn import revocation as module
from licet.authn.revocation import RevocationList
from licet.db.trust_records import RevocationKind, RevocationRecord
from tests.authn.parts import NOW, NOW_US, alice, revocation

US = 0.000001
TOKEN, SESSION, KEY = RevocationKind.TOKEN, RevocationKind.SESSION, RevocationKind.KEY
SUBJECT, LOGOUT = RevocationKind.SUBJECT, RevocationKind.LOGOUT


def held(*revocations: RevocationRecord) -> RevocationList:
    found = RevocationList()
    found.apply(revocations)
    return found


def reason(revocations: RevocationList, *, now: float = NOW, **given: Any) -> str | None:
    return revocations.reason(alice(**given), now=now)


def test_nothing_is_revoked_at_first() -> None:
    assert reason(held()) is None
    assert len(held()) == 0


@pytest.mark.parametrize(
    ("kind", "value", "given", "why"),
    [
        (TOKEN, "t-1", {"token_id": "t-1"}, "the token was revoked"),
        (KEY, "k-1", {"key_id": "k-1"}, "the key that signed the token was revoked"),
        (SESSION, "s-1", {"sid": "s-1"}, "the login session has ended"),
        (SUBJECT, "alice", {}, "what was issued to the subject before was revoked"),
        (LOGOUT, "alice", {}, "the subject has logged out"),
    ],
)
def test_each_kind_hits_what_it_names_and_nothing_else(
    kind: RevocationKind, value: str, given: dict[str, Any], why: str
) -> None:
    revocations = held(revocation(kind, value))
    assert reason(revocations, **given) == why
    assert reason(revocations, **given, issuer_alias="other") is None
    others: dict[str, Any] = {"token_id": "t-2", "key_id": "k-2", "sid": "s-2", "subject": "bob"}
    assert reason(revocations, **others) is None
    # The same text as a name of something else is something else.
    assert reason(revocations, subject="x", token_id="x", key_id="x", sid="x") is None
    for name in ("token_id", "key_id", "sid", "subject"):
        same: dict[str, Any] = {**others, name: value}
        hit = {TOKEN: "token_id", KEY: "key_id", SESSION: "sid"}.get(kind, "subject")
        assert (reason(revocations, **same) is not None) is (name == hit)


@pytest.mark.parametrize("kind", [TOKEN, KEY, SESSION])
def test_what_has_no_name_is_not_hit_by_an_empty_one(kind: RevocationKind) -> None:
    assert reason(held(revocation(kind, "")), token_id="", key_id="", sid="") is None


@pytest.mark.parametrize("kind", [TOKEN, KEY, SESSION])
@pytest.mark.parametrize("issued_at", [None, NOW - 9, NOW + 9])
def test_tokens_keys_and_sessions_are_hit_whenever_they_were_issued(
    kind: RevocationKind, issued_at: float | None
) -> None:
    revocations = held(revocation(kind, "x"))
    named: dict[str, Any] = {{TOKEN: "token_id", KEY: "key_id", SESSION: "sid"}[kind]: "x"}
    assert reason(revocations, issued_at=issued_at, **named) is not None


@pytest.mark.parametrize("kind", [SUBJECT, LOGOUT])
@pytest.mark.parametrize(
    ("issued_at", "hit"),
    [
        (None, True),
        (0, True),
        (NOW, True),
        (NOW + 0.5, True),
        (NOW + 0.5 + US, False),
        (NOW + 1, False),
        (NOW + 0.499999, True),
    ],
)
def test_of_a_subject_what_was_issued_up_to_that_instant_is_hit(
    kind: RevocationKind, issued_at: float | None, *, hit: bool
) -> None:
    revocations = held(revocation(kind, "alice", issued_before_us=NOW_US + 500_000))
    assert (reason(revocations, issued_at=issued_at) is not None) is hit


@pytest.mark.parametrize("second", [1, NOW, 2_200_000_000])
@given(part_us=st.integers(0, 999_998))
def test_the_very_instant_is_hit_whatever_a_float_makes_of_it(second: int, part_us: int) -> None:
    """After the year 2038 a float of seconds is seldom a whole number of microseconds."""
    second_us = second * 1_000_000
    revocations = held(
        revocation(
            SUBJECT, "alice", issued_before_us=second_us + part_us, expires_at_us=10 * second_us
        )
    )
    at = second + part_us / 1_000_000
    just_after = second + (part_us + 1) / 1_000_000
    assert reason(revocations, issued_at=at, now=second) is not None
    assert reason(revocations, issued_at=just_after, now=second) is None
    assert revocations.revoked_since("default", "alice", since=at, now=second)
    assert not revocations.revoked_since("default", "alice", since=just_after, now=second)


@pytest.mark.parametrize("kind", [TOKEN, KEY, SESSION, SUBJECT, LOGOUT])
def test_a_revocation_ends_at_its_expiry(kind: RevocationKind) -> None:
    revocations = held(revocation(kind, "x", expires_at_us=NOW_US + 10_000_000))
    given = {"subject": "x", "token_id": "x", "key_id": "x", "sid": "x"}
    assert reason(revocations, now=NOW + 10 - US, **given) is not None
    assert reason(revocations, now=NOW + 10, **given) is None
    revocations.forget_expired(now=NOW + 10 - US)
    assert len(revocations) == 1
    revocations.forget_expired(now=NOW + 10)
    assert len(revocations) == 0


@pytest.mark.parametrize("kind", [TOKEN, KEY, SESSION, SUBJECT, LOGOUT])
def test_what_was_taken_back_counts_no_more(kind: RevocationKind) -> None:
    revocations = held(revocation(kind, "x"), revocation(kind, "y"))
    revocations.apply([revocation(kind, "x", deleted_at_us=NOW_US)])
    assert reason(revocations, subject="x", token_id="x", key_id="x", sid="x") is None
    assert len(revocations) == 1
    revocations.apply([revocation(kind, "z", deleted_at_us=NOW_US)])
    assert len(revocations) == 1


def test_the_later_state_of_one_subject_takes_the_place_of_the_earlier() -> None:
    revocations = held(revocation(SUBJECT, "alice"))
    assert reason(revocations, issued_at=NOW + 5) is None
    revocations.apply([revocation(SUBJECT, "alice", issued_before_us=NOW_US + 5_000_000)])
    assert reason(revocations, issued_at=NOW + 5) is not None
    assert len(revocations) == 1


def test_one_subject_can_be_revoked_and_logged_out() -> None:
    revocations = held(
        revocation(SUBJECT, "alice"),
        revocation(LOGOUT, "alice", issued_before_us=NOW_US + 5_000_000),
    )
    assert reason(revocations, issued_at=NOW) == "what was issued to the subject before was revoked"
    assert reason(revocations, issued_at=NOW + 5) == "the subject has logged out"
    assert reason(revocations, issued_at=NOW + 6) is None


ENDED = "the login session has ended"
NAMES_NONE = "the subject has logged out of a session, and the token names none"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"sid": "s-1"}, ENDED),
        ({"sid": "s-1", "issued_at": NOW + 9}, ENDED),
        ({"sid": "s-1", "subject": "bob"}, ENDED),
        ({"sid": "s-2"}, None),
        ({}, NAMES_NONE),
        ({"issued_at": None}, NAMES_NONE),
        ({"issued_at": NOW + 1}, None),
        ({"subject": "bob"}, None),
        ({"issuer_alias": "other"}, None),
    ],
)
def test_a_logout_of_a_session_and_its_subject(given: dict[str, Any], why: str | None) -> None:
    """Tokens that name a session are told apart; the subject's others cannot be."""
    revocations = held(revocation(SESSION, "s-1", subject="alice"))
    assert reason(revocations, **given) == why
    assert reason(revocations, now=NOW + 86_400, **given) is None


def test_each_session_of_a_subject_ends_on_its_own() -> None:
    first = revocation(SESSION, "s-1", subject="alice")
    second = revocation(SESSION, "s-2", subject="alice", issued_before_us=NOW_US + 5_000_000)
    revocations = held(first, second)
    assert reason(revocations, issued_at=NOW + 5) == NAMES_NONE
    revocations.apply([revocation(SESSION, "s-2", deleted_at_us=NOW_US)])
    assert reason(revocations, issued_at=NOW + 5) is None
    assert reason(revocations, issued_at=NOW) == NAMES_NONE
    revocations.apply([revocation(SESSION, "s-1", deleted_at_us=NOW_US)])
    assert reason(revocations, issued_at=NOW) is None
    assert not revocations._of_subject


@pytest.mark.parametrize(
    ("at", "why"),
    [(NOW - 1, NAMES_NONE), (NOW + 999, NAMES_NONE), (NOW + 1000, None), (None, NAMES_NONE)],
)
def test_what_a_subject_has_logged_out_of_is_not_walked_through(
    at: float | None, why: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A robot's token, beside a thousand of its logins that have ended."""
    revocations = held(
        *(
            revocation(SESSION, f"s-{n}", subject="alice", issued_before_us=NOW_US + n * 1_000_000)
            for n in range(1000)
        )
    )
    looked_at: list[RevocationRecord] = []
    expired = module._expired

    def noting(revocation: RevocationRecord, now: float) -> bool:
        looked_at.append(revocation)
        return expired(revocation, now)

    monkeypatch.setattr(module, "_expired", noting)
    assert reason(revocations, issued_at=at) == why
    assert reason(revocations, issued_at=at) == why
    assert len(looked_at) <= 2


@pytest.mark.parametrize("seconds", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_the_latest_logout_counts_in_whichever_order_they_are_told(
    seconds: tuple[int, ...],
) -> None:
    revocations = RevocationList()
    for told in range(1, 4):
        at = seconds[told - 1]
        revocations.apply(
            [
                revocation(
                    SESSION, f"s-{at}", subject="alice", issued_before_us=NOW_US + at * 1_000_000
                )
            ]
        )
        latest = max(seconds[:told])
        assert reason(revocations, issued_at=NOW + latest) == NAMES_NONE
        assert reason(revocations, issued_at=NOW + latest + 1) is None
    for gone in (1, 3):
        revocations.apply([revocation(SESSION, f"s-{gone}", deleted_at_us=NOW_US)])
        latest = {1: 3, 3: 2}[gone]
        assert reason(revocations, issued_at=NOW + latest) == NAMES_NONE
        assert reason(revocations, issued_at=NOW + latest + 1) is None


def test_where_the_latest_logout_has_expired_the_others_count() -> None:
    short = NOW_US + 20_000_000
    revocations = held(
        revocation(SESSION, "s-1", subject="alice", issued_before_us=NOW_US + 5_000_000),
        revocation(
            SESSION,
            "s-2",
            subject="alice",
            issued_before_us=NOW_US + 9_000_000,
            expires_at_us=short,
        ),
    )
    assert reason(revocations, issued_at=NOW + 9) == NAMES_NONE
    assert reason(revocations, issued_at=NOW + 9, now=NOW + 20) is None
    assert reason(revocations, issued_at=NOW + 5, now=NOW + 20) == NAMES_NONE
    revocations.forget_expired(now=NOW + 20)
    assert reason(revocations, issued_at=NOW + 9) is None
    assert reason(revocations, issued_at=NOW + 5) == NAMES_NONE


def test_a_session_whose_subject_becomes_known_counts_for_it() -> None:
    revocations = held(revocation(SESSION, "s-1"))
    assert reason(revocations) is None
    revocations.apply([revocation(SESSION, "s-1", subject="alice")])
    assert reason(revocations) == NAMES_NONE
    revocations.apply([revocation(SESSION, "s-1", subject="bob")])
    assert reason(revocations) is None
    assert reason(revocations, subject="bob") == NAMES_NONE


@pytest.mark.parametrize("kind", [TOKEN, KEY, SUBJECT, LOGOUT])
def test_only_sessions_have_a_subject_beside_what_they_name(kind: RevocationKind) -> None:
    assert reason(held(revocation(kind, "x", subject="alice"))) is None


@pytest.mark.parametrize(
    ("since", "revoked"),
    [(NOW - 1, True), (NOW, True), (NOW + 0.000002, False), (NOW + 1, False)],
)
def test_a_subject_was_revoked_since_then_or_not(since: float, *, revoked: bool) -> None:
    revocations = held(revocation(SUBJECT, "alice"))
    assert revocations.revoked_since("default", "alice", since=since, now=NOW) is revoked
    assert not revocations.revoked_since("default", "bob", since=since, now=NOW)
    assert not revocations.revoked_since("other", "alice", since=since, now=NOW)
    assert not revocations.revoked_since("default", "alice", since=since, now=NOW + 86_400)


def test_who_merely_logged_out_was_not_revoked() -> None:
    revocations = held(revocation(LOGOUT, "alice"), revocation(SESSION, "s-1", subject="alice"))
    assert not revocations.revoked_since("default", "alice", since=NOW - 9, now=NOW)


def test_what_holds_is_told_by_kind_and_value() -> None:
    revocations = held(revocation(KEY, "k-1"))
    assert revocations.holds(KEY, "default", "k-1", now=NOW)
    assert not revocations.holds(TOKEN, "default", "k-1", now=NOW)
    assert not revocations.holds(KEY, "other", "k-1", now=NOW)
    assert not revocations.holds(KEY, "default", "k-1", now=NOW + 86_400)
