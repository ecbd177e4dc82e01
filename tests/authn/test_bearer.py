from __future__ import annotations

import pytest

from licet.authn.base import Authenticated, BadCredentials, Credentials, NoCredentials
from licet.authn.bearer import MAX_TOKEN_BYTES, BearerAuthenticator, bearer_token
from licet.authn.refusal import HeaderRefusedError
from tests.authn.parts import Fixed, alice

FORM = "not of the form 'Bearer <token>'"
ALICE = Authenticated(alice())


@pytest.fixture
def taking() -> Fixed:
    """Takes every token, and remembers it."""
    return Fixed(ALICE)


async def test_no_header_is_no_credentials(taking: Fixed) -> None:
    assert await BearerAuthenticator(taking).authenticate(Credentials()) == NoCredentials()
    assert taking.tokens == []


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
@pytest.mark.parametrize("bare", [False, True])
async def test_the_scheme_has_any_case_and_the_token_is_passed_on(
    taking: Fixed, value: bytes, *, bare: bool
) -> None:
    answer = await BearerAuthenticator(taking, bare=bare).authenticate(Credentials((value,)))
    assert answer is ALICE
    assert taking.tokens == [b"abc.DEF-1._~+/=="]


OTHER_FORMS = [
    b"",
    b"Bearer ",
    b"Basic YTpi",
    b"Token abc",
    b"Bearer: abc",
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
]
BARE_FORMS = [b"Bearer", b"abc.def.ghi", b"Bearer=", b"Bearerabc"]


@pytest.mark.parametrize("value", [*OTHER_FORMS, *BARE_FORMS, b"Bearer=abc"])
async def test_any_other_form_is_refused_without_asking_further(
    taking: Fixed, value: bytes
) -> None:
    answer = await BearerAuthenticator(taking).authenticate(Credentials((value,)))
    assert isinstance(answer, BadCredentials)
    assert FORM in answer.reason
    assert answer.code == "authorization_header"
    assert taking.tokens == []


@pytest.mark.parametrize("value", BARE_FORMS)
def test_in_a_header_of_the_operators_own_the_token_may_stand_alone(value: bytes) -> None:
    wanted = value.strip()
    assert bearer_token(Credentials((b" " + value + b"\t",)), bare=True) == wanted


@pytest.mark.parametrize("value", [v for v in OTHER_FORMS if v != b"Bearer "])
def test_in_a_header_of_the_operators_own_other_forms_are_refused(value: bytes) -> None:
    with pytest.raises(HeaderRefusedError, match=FORM):
        bearer_token(Credentials((value,)), bare=True)


@pytest.mark.parametrize("value", [b"sesame-without-scheme", b"Basic sesame"])
async def test_the_reason_does_not_repeat_what_may_be_a_token(taking: Fixed, value: bytes) -> None:
    answer = await BearerAuthenticator(taking).authenticate(Credentials((value,)))
    assert isinstance(answer, BadCredentials)
    assert "sesame" not in repr(answer)


@pytest.mark.parametrize("bare", [False, True])
async def test_two_headers_are_refused_also_if_they_are_the_same(
    taking: Fixed, *, bare: bool
) -> None:
    authenticator = BearerAuthenticator(taking, bare=bare)
    answer = await authenticator.authenticate(Credentials((b"Bearer a", b"Bearer a")))
    assert answer == BadCredentials("more than one Authorization header", "authorization_header")
    assert taking.tokens == []


@pytest.mark.parametrize("before", [b"Bearer ", b"Bearer" + b" " * 40, b" Bearer ", b""])
def test_the_limit_is_for_the_token_not_for_the_header(before: bytes) -> None:
    fits = b"a" * (MAX_TOKEN_BYTES - 1) + b"="
    assert bearer_token(Credentials((before + fits,)), bare=True) == fits
    for larger in (fits + b"=", b"a" + fits):
        with pytest.raises(HeaderRefusedError, match="larger than 16384 bytes"):
            bearer_token(Credentials((before + larger,)), bare=True)


async def test_a_token_that_is_too_large_is_not_passed_on(taking: Fixed) -> None:
    value = b"Bearer " + b"a" * (MAX_TOKEN_BYTES + 1)
    answer = await BearerAuthenticator(taking).authenticate(Credentials((value,)))
    assert answer == BadCredentials("the token is larger than 16384 bytes", "authorization_header")
    assert taking.tokens == []


async def test_what_is_said_of_the_token_is_the_answer() -> None:
    for said in (ALICE, BadCredentials("the token has expired", "token_expired")):
        authenticator = BearerAuthenticator(Fixed(said))
        assert await authenticator.authenticate(Credentials((b"Bearer a",))) is said
