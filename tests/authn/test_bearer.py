from __future__ import annotations

import pytest

from licet.authn.base import Authenticated, BadCredentials, Credentials, NoCredentials
from licet.authn.bearer import MAX_TOKEN_BYTES, BearerAuthenticator
from licet.authn.principal import Principal
from tests.authn.parts import factory, verifier

FORM = "not of the form 'Bearer <token>'"


class Taking:
    """Takes every token, and remembers it."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def verify(self, token: bytes) -> Principal:
        self.seen.append(token)
        return Principal(issuer_alias="default", issuer=None, subject="alice")


def test_no_header_is_no_credentials() -> None:
    taking = Taking()
    assert BearerAuthenticator(taking).authenticate(Credentials()) == NoCredentials()
    assert taking.seen == []


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer abc.DEF-1._~+/==",
        b"bearer abc.DEF-1._~+/==",
        b"BEARER abc.DEF-1._~+/==",
        b"bEaReR    abc.DEF-1._~+/==",
        b" \tBearer abc.DEF-1._~+/==\t ",
    ],
)
def test_the_scheme_has_any_case_and_the_token_reaches_the_verifier(value: bytes) -> None:
    taking = Taking()
    answer = BearerAuthenticator(taking).authenticate(Credentials((value,)))
    assert isinstance(answer, Authenticated)
    assert answer.principal.subject == "alice"
    assert taking.seen == [b"abc.DEF-1._~+/=="]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic YTpi",
        b"Token abc",
        b"abc.def.ghi",
        b"Bearer: abc",
        b"Bearer=abc",
        b"Bearerabc",
        b"Bearer\tabc",
        b"Bearer\xa0abc",
        b"Bearer abc def",
        b"Bearer abc, Bearer def",
        b"Bearer abc=def",
        b"Bearer =",
        b"Bearer abc\n",
        b"Bearer abc\x00",
        b'Bearer "abc"',
        b"Bearer \xc3\xa4",
        b"\xef\xbb\xbfBearer abc",
        b"Basic x Bearer abc",
    ],
)
def test_any_other_form_is_refused_without_asking_the_verifier(value: bytes) -> None:
    taking = Taking()
    answer = BearerAuthenticator(taking).authenticate(Credentials((value,)))
    assert isinstance(answer, BadCredentials)
    assert FORM in answer.reason
    assert answer.code == "authorization_header"
    assert taking.seen == []


@pytest.mark.parametrize("value", [b"sesame-without-scheme", b"Basic sesame"])
def test_the_reason_does_not_repeat_what_may_be_a_token(value: bytes) -> None:
    answer = BearerAuthenticator(Taking()).authenticate(Credentials((value,)))
    assert "sesame" not in repr(answer)


def test_two_headers_are_refused_also_if_they_are_the_same() -> None:
    taking = Taking()
    answer = BearerAuthenticator(taking).authenticate(Credentials((b"Bearer a", b"Bearer a")))
    assert answer == BadCredentials("more than one Authorization header", "authorization_header")
    assert taking.seen == []


def test_the_size_has_a_limit() -> None:
    taking = Taking()
    authenticator = BearerAuthenticator(taking)
    fits = b"Bearer " + b"a" * (MAX_TOKEN_BYTES - 7)
    assert isinstance(authenticator.authenticate(Credentials((fits,))), Authenticated)
    answer = authenticator.authenticate(Credentials((fits + b"a",)))
    assert isinstance(answer, BadCredentials)
    assert "larger than 16384 bytes" in answer.reason
    assert len(taking.seen) == 1


@pytest.mark.parametrize(
    ("seconds", "code"), [(60, None), (-60, "token_expired")], ids=["current", "expired"]
)
def test_the_answer_tells_programs_why(seconds: int, code: str | None) -> None:
    tokens = factory()
    token = tokens.token("alice", expires_in_seconds=seconds)
    answer = BearerAuthenticator(verifier(tokens)).authenticate(
        Credentials((b"Bearer " + token.encode(),))
    )
    assert getattr(answer, "code", None) == code


def test_a_foreign_signature_has_a_code_of_its_own() -> None:
    token = factory(fresh_key=True).token("alice")
    answer = BearerAuthenticator(verifier(factory())).authenticate(
        Credentials((b"Bearer " + token.encode(),))
    )
    assert answer == BadCredentials("the signature does not match any key", "token_signature")
