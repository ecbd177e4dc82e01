from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from licet.audit.anchors import Anchor
from licet.audit.findings import Report
from licet.audit.signing import Verifier
from licet.audit.trusted_keys import TrustedKeys
from tests.audit.trails import ED25519, HMAC, MALLORY, PUBLIC
from tests.contract.audit_rows import writer

MESSAGE = b"a head"
GOOD = ED25519.sign(MESSAGE)
ANCHOR = Anchor(writer_id="w", writer_number=2, seq=7, hash="h", time_us=1)


def anchored(signer: Any, **changes: Any) -> Anchor:
    anchor = replace(ANCHOR, key_id=signer.key_id, signature=signer.sign(ANCHOR.message()))
    return replace(anchor, **changes)


def keys(*verifiers: Verifier, unsigned_until: int = 0) -> tuple[TrustedKeys, Report]:
    report = Report()
    return TrustedKeys(verifiers, unsigned_until=unsigned_until, report=report), report


def codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings]


@pytest.mark.parametrize(
    ("key_id", "message", "signature", "signs"),
    [
        (PUBLIC.key_id, MESSAGE, GOOD, True),
        (HMAC.key_id, MESSAGE, HMAC.sign(MESSAGE), True),
        (PUBLIC.key_id, b"another", GOOD, False),
        (PUBLIC.key_id, MESSAGE, HMAC.sign(MESSAGE), False),
        (HMAC.key_id, MESSAGE, GOOD, False),
        (MALLORY.key_id, MESSAGE, MALLORY.sign(MESSAGE), False),
        (None, MESSAGE, GOOD, False),
        (b"hmac", MESSAGE, GOOD, False),
        (PUBLIC.key_id, MESSAGE, None, False),
        (PUBLIC.key_id, MESSAGE, GOOD.encode(), False),
        (HMAC.key_id, MESSAGE, 5, False),
        (HMAC.key_id, MESSAGE, "é", False),
    ],
    # Keys are made anew each time: nothing of them may be in a name.
    ids=lambda _: "",
)
def test_only_a_key_that_is_held_signs_under_its_own_id(
    key_id: object, message: bytes, signature: object, *, signs: bool
) -> None:
    trusted, _ = keys(PUBLIC, HMAC)
    assert trusted.signs(key_id, message, signature) is signs


class TestRegistrations:
    def test_one_that_is_signed_by_a_key_that_is_held_is_fine(self) -> None:
        trusted, report = keys(HMAC, PUBLIC)
        given = writer(key_id=PUBLIC.key_id, signature=GOOD)
        assert trusted.check_registration(given, MESSAGE)
        assert (codes(report), report.unsigned, report.unverified) == ([], 0, 0)

    @pytest.mark.parametrize(
        "signature", [None, "", "x", MALLORY.sign(MESSAGE)], ids=["none", "empty", "x", "another's"]
    )
    def test_one_that_is_not_signed_by_its_key_is_found(self, signature: str | None) -> None:
        trusted, report = keys(PUBLIC)
        given = writer(key_id=PUBLIC.key_id, signature=signature)
        assert trusted.check_registration(given, MESSAGE)
        assert codes(report) == ["bad_signature"]

    def test_without_a_key_nothing_is_said_of_signatures_but_how_many_there_are(self) -> None:
        trusted, report = keys()
        for given in (writer(), writer(key_id=None, signature=None)):
            assert not trusted.check_registration(given, MESSAGE)
        assert (codes(report), report.unsigned, report.unverified) == ([], 1, 1)

    @pytest.mark.parametrize("held", [[], [PUBLIC]])
    def test_a_signature_without_a_key_was_put_there(self, held: list[Verifier]) -> None:
        trusted, report = keys(*held, unsigned_until=1)
        trusted.check_registration(writer(key_id=None, signature="x"), MESSAGE)
        assert codes(report) == ["changed_writer"]

    @pytest.mark.parametrize(
        ("number", "until", "found"),
        [
            (1, 0, ["unsigned_writer"]),
            (3, 2, ["unsigned_writer"]),
            (3, 3, []),
            (1, 3, []),
        ],
    )
    def test_with_a_key_nobody_may_have_signed_nothing_since_there_is_one(
        self, number: int, until: int, found: list[str]
    ) -> None:
        trusted, report = keys(PUBLIC, unsigned_until=until)
        given = writer(number, key_id=None, signature=None)
        assert not trusted.check_registration(given, MESSAGE)
        assert (codes(report), report.unsigned) == (found, 1)

    def test_with_a_key_nobody_may_have_signed_with_another(self) -> None:
        trusted, report = keys(PUBLIC, unsigned_until=99)
        given = writer(key_id=MALLORY.key_id, signature=MALLORY.sign(MESSAGE))
        assert not trusted.check_registration(given, MESSAGE)
        assert (codes(report), report.unverified) == (["unknown_key"], 1)
        assert MALLORY.key_id in report.findings[0].text


class TestAnchors:
    @pytest.mark.parametrize(
        "anchor",
        [ANCHOR, anchored(ED25519), anchored(MALLORY), anchored(ED25519, signature="x")],
    )
    def test_without_a_key_each_is_taken(self, anchor: Anchor) -> None:
        trusted, report = keys()
        assert trusted.check_anchor(anchor)
        assert report.is_sound

    @pytest.mark.parametrize("signer", [ED25519, HMAC])
    def test_one_that_is_signed_by_a_key_that_is_held_is_taken(self, signer: Any) -> None:
        trusted, report = keys(PUBLIC, HMAC)
        assert trusted.check_anchor(anchored(signer))
        assert report.is_sound

    @pytest.mark.parametrize(
        ("anchor", "text"),
        [
            (ANCHOR, "the anchor at 7 is not signed"),
            (anchored(ED25519, signature=None), "the anchor at 7 is not signed by its key"),
            (anchored(ED25519, signature="x"), "the anchor at 7 is not signed by its key"),
            (anchored(ED25519, seq=8), "the anchor at 8 is not signed by its key"),
            (anchored(ED25519, hash="g"), "the anchor at 7 is not signed by its key"),
            (anchored(ED25519, writer_number=3), "the anchor at 7 is not signed by its key"),
            (anchored(MALLORY, key_id=PUBLIC.key_id), "the anchor at 7 is not signed by its key"),
            (anchored(MALLORY), "the anchor at 7 was signed with a key that was not given, "),
        ],
    )
    def test_a_forged_one_is_found_and_not_taken(self, anchor: Anchor, text: str) -> None:
        trusted, report = keys(PUBLIC)
        assert not trusted.check_anchor(anchor)
        (finding,) = report.findings
        assert (finding.code, finding.writer_id) == ("bad_anchor", "w")
        assert (finding.first_seq, finding.last_seq) == (anchor.seq, anchor.seq)
        assert finding.text.startswith(text)

    @pytest.mark.parametrize(("until", "taken"), [(1, False), (2, True), (3, True)])
    def test_of_the_time_before_there_was_a_key_one_need_not_be_signed(
        self, until: int, *, taken: bool
    ) -> None:
        trusted, report = keys(PUBLIC, unsigned_until=until)
        assert trusted.check_anchor(ANCHOR) is taken
        assert report.is_sound is taken
