from __future__ import annotations

import hashlib
import itertools
from typing import Any

import pytest

from licet.authn.principal import PrincipalKind
from licet.authn.revocation import RevocationList
from licet.authn.service_accounts import (
    AccountBook,
    is_service_token,
    is_well_formed,
    new_token,
    refusal_of_account,
    refusal_of_rotator,
    refusal_of_token,
    service_principal,
    token_digest,
)
from licet.db.trust_records import RevocationKind, RevocationRecord
from tests.authn.parts import NOW, NOW_US, account, revocation

US = 0.000001


def test_a_new_token_is_random_and_of_one_form() -> None:
    tokens = [new_token() for _ in range(20)]
    assert len({token.text for token in tokens}) == 20
    for token in tokens:
        assert len(token.text) == len("licet_sa_") + 43
        assert is_service_token(token.text.encode())
        assert is_well_formed(token.text.encode())
        assert token.text.startswith(token.prefix)
        assert len(token.prefix) == len("licet_sa_") + 4
        assert token.digest == hashlib.sha256(token.text.encode()).hexdigest()


def test_all_of_its_bytes_count() -> None:
    asked: list[int] = []

    def zeros(count: int) -> bytes:
        asked.append(count)
        return bytes(count)

    assert new_token(zeros).text == "licet_sa_" + "A" * 43
    assert asked == [32]


def test_a_token_does_not_show_itself() -> None:
    token = new_token()
    assert token.text not in repr(token)


@pytest.mark.parametrize(
    ("token", "claims", "can_be"),
    [
        (b"licet_sa_" + b"A" * 43, True, True),
        (b"licet_sa_" + b"-_" * 21 + b"9", True, True),
        (b"licet_sa_" + b"A" * 42, True, False),
        (b"licet_sa_" + b"A" * 44, True, False),
        (b"licet_sa_" + b"A" * 42 + b"=", True, False),
        (b"licet_sa_" + b"A" * 43 + b"\n", True, False),
        (b"licet_sa_", True, False),
        (b"LICET_SA_" + b"A" * 43, False, False),
        (b" licet_sa_" + b"A" * 43, False, False),
        (b"agno_pat_" + b"A" * 43, False, False),
        (b"", False, False),
    ],
)
def test_tokens_are_told_by_their_beginning_and_their_form(
    token: bytes, *, claims: bool, can_be: bool
) -> None:
    assert (is_service_token(token), is_well_formed(token)) == (claims, can_be)


def test_an_account_is_a_principal_by_its_name() -> None:
    principal = service_principal(
        account("digest", created_at_us=NOW_US + 500_000, expires_at_us=NOW_US + 9_000_000),
        "digest",
    )
    assert principal.owner == "@service|sa:reporter"
    assert principal.kind is PrincipalKind.SERVICE
    assert principal.scopes == ("agents:run",)
    assert (principal.token_id, principal.key_id) == ("account-1", "digest")
    assert (principal.issued_at, principal.expires_at) == (NOW + 0.5, NOW + 9)
    assert service_principal(account("digest"), "digest").expires_at is None


def test_sessions_stay_its_own_over_rotations() -> None:
    rotated = account("new", old_token_digest="digest", old_expires_at_us=NOW_US)
    assert service_principal(rotated, "digest") == service_principal(account("digest"), "digest")
    assert service_principal(rotated, "new").owner == service_principal(rotated, "digest").owner


def test_the_book_finds_accounts_by_id_and_by_the_digest_of_each_token() -> None:
    book = AccountBook()
    rotated = account("new", old_token_digest="old", old_expires_at_us=NOW_US)
    other = account("other", id="account-2", name="another")
    book.apply([rotated, other])
    assert book.find("new") is book.find("old") is book.get("account-1") is rotated
    assert book.find("other") is book.get("account-2") is other
    assert book.find("") is book.find("account-1") is book.get("account-3") is None
    assert len(book) == 2


def test_a_token_that_was_replaced_twice_is_found_no_more() -> None:
    book = AccountBook()
    book.apply([account("first", change_number=1)])
    book.apply([account("second", old_token_digest="first", change_number=2)])
    book.apply([account("third", old_token_digest="second", change_number=3)])
    assert book.find("first") is None
    assert book.find("second") is book.find("third") is book.get("account-1")
    assert len(book) == 1


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_the_latest_state_stands_in_whatever_order_they_come(order: tuple[int, ...]) -> None:
    """One comes by following the changes, another by looking a token up."""
    states = {
        1: account("first", change_number=1),
        2: account("second", old_token_digest="first", change_number=2),
        3: account("second", old_token_digest="first", change_number=3, revoked_at_us=NOW_US),
    }
    book = AccountBook()
    for number in order:
        book.apply([states[number]])
    assert book.find("second") is book.find("first") is states[3]


def why(*revocations: RevocationRecord, now: float = NOW, **given: Any) -> str | None:
    known = RevocationList()
    known.apply(revocations)
    return refusal_of_account(account("digest", **given), known, now=now)


def test_an_account_without_an_end_opens_until_it_is_revoked() -> None:
    assert why(now=NOW + 10**9) is None
    assert why(revoked_at_us=NOW_US + 99) == "the service account was revoked"


def test_an_account_ends_at_its_expiry() -> None:
    assert why(expires_at_us=NOW_US + 1_000_000, now=NOW + 1 - US) is None
    assert why(expires_at_us=NOW_US + 1_000_000, now=NOW + 1) == ("the service account has expired")


# The account itself was made later, by whatever clock: that says nothing.
BOB: dict[str, Any] = {
    "creator_alias": "corp",
    "creator_subject": "bob",
    "creator_issued_at_us": NOW_US,
    "created_at_us": NOW_US + 3_600_000_000,
}


def gone(subject: str = "bob", alias: str = "corp", **given: Any) -> RevocationRecord:
    return revocation(RevocationKind.SUBJECT, subject, issuer_alias=alias, **given)


@pytest.mark.parametrize(
    ("revoked", "given", "refused"),
    [
        (gone(), BOB, True),
        (gone(issued_before_us=NOW_US + 1), BOB, True),
        (gone(issued_before_us=NOW_US - 1), BOB, False),
        (gone(issued_before_us=NOW_US - 1), {**BOB, "creator_issued_at_us": 0}, True),
        (gone("alice"), BOB, False),
        (gone(alias="other"), BOB, False),
        (gone(expires_at_us=NOW_US), BOB, False),
        (gone(), {}, False),
        (gone(), {"creator_alias": "corp"}, False),
        (gone(), {"creator_subject": "bob"}, False),
        (revocation(RevocationKind.LOGOUT, "bob", issuer_alias="corp"), BOB, False),
    ],
)
def test_an_account_ends_with_whoever_made_it(
    revoked: RevocationRecord, given: dict[str, Any], *, refused: bool
) -> None:
    expected = "whoever made the service account was revoked" if refused else None
    assert why(revoked, **given) == expected


@pytest.mark.parametrize(
    ("digest", "revoked", "refused"),
    [
        ("new", gone(), True),
        ("new", gone(issued_before_us=NOW_US - 1), False),
        ("new", gone("carol"), False),
        ("old", gone("carol"), True),
        ("old", gone(), False),
        ("unknown", gone(), False),
    ],
)
def test_a_token_ends_with_whoever_rotated_to_it(
    digest: str, revoked: RevocationRecord, *, refused: bool
) -> None:
    known = RevocationList()
    known.apply([revoked])
    rotated = account(
        "new",
        rotator_alias="corp",
        rotator_subject="bob",
        rotator_issued_at_us=NOW_US,
        old_token_digest="old",
        old_rotator_alias="corp",
        old_rotator_subject="carol",
    )
    expected = "whoever rotated the service account was revoked" if refused else None
    assert refusal_of_rotator(rotated, digest, known, now=NOW) == expected


UNKNOWN = "the service account has another token now"


@pytest.mark.parametrize(
    ("digest", "given", "now", "expected"),
    [
        ("new", {}, NOW + 10**9, None),
        ("old", {}, NOW, None),
        ("old", {}, NOW + 60 - US, None),
        ("old", {}, NOW + 60, UNKNOWN),
        ("old", {"old_expires_at_us": None}, NOW, UNKNOWN),
        ("older", {}, NOW, UNKNOWN),
        ("", {}, NOW, UNKNOWN),
    ],
)
def test_the_old_token_is_good_for_the_overlap(
    digest: str, given: dict[str, Any], now: float, expected: str | None
) -> None:
    rotated = account(
        "new", **{"old_token_digest": "old", "old_expires_at_us": NOW_US + 60_000_000, **given}
    )
    assert refusal_of_token(rotated, digest, now=now) == expected


def test_the_digest_is_sha_256_in_hexadecimal() -> None:
    assert token_digest(b"x") == hashlib.sha256(b"x").hexdigest()
