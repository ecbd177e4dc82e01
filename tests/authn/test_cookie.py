from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authn.base import Authenticated, BadCredentials, Credentials, NoCredentials
from licet.authn.cookie import CookieAuthenticator, OneCredential, cookies_named
from licet.errors import ConfigurationError
from tests.authn.parts import Fixed, alice, cookies

ALICE = Authenticated(alice())
TWICE = BadCredentials("several cookies hold a token", "several_credentials")
cookie_values = st.text("abcABC019.-_~+/!", min_size=1, max_size=20).map(str.encode)


@pytest.fixture
def taking() -> Fixed:
    """Takes every token, and remembers it."""
    return Fixed(ALICE)


@pytest.fixture
def authenticator(taking: Fixed) -> CookieAuthenticator:
    return CookieAuthenticator(taking, name="token")


@pytest.mark.parametrize(
    "headers",
    [
        (b"token=abc",),
        (b"a=1; token=abc; b=2",),
        (b"a=1;token=abc ;b=2",),
        (b"a=1", b"token=abc"),
        (b";; ;token=abc;",),
        (b"token=; token=abc",),
        (b"TOKEN=x; xtoken=y; token-=z; token=abc",),
        (b"a=token=no; token=abc",),
        (b"token; token=abc",),
    ],
)
async def test_the_cookie_of_that_name_holds_the_token(
    authenticator: CookieAuthenticator, taking: Fixed, headers: tuple[bytes, ...]
) -> None:
    assert await authenticator.authenticate(cookies(*headers)) is ALICE
    assert taking.tokens == [b"abc"]


@pytest.mark.parametrize(
    "headers",
    [(), (b"",), (b"token",), (b"token=",), (b"token= ",), (b"Token=abc",), (b"token =abc",)],
)
async def test_without_such_a_cookie_there_are_no_credentials(
    authenticator: CookieAuthenticator, taking: Fixed, headers: tuple[bytes, ...]
) -> None:
    assert await authenticator.authenticate(cookies(*headers)) == NoCredentials()
    assert taking.tokens == []


@pytest.mark.parametrize(
    "headers",
    [
        (b"token=abc; token=def",),
        (b"token=abc; token=abc",),
        (b"token=abc", b"token=abc"),
        (b"token=; token=abc; a=b; token=d",),
    ],
)
async def test_two_cookies_of_that_name_are_refused_also_if_they_are_the_same(
    authenticator: CookieAuthenticator, taking: Fixed, headers: tuple[bytes, ...]
) -> None:
    assert await authenticator.authenticate(cookies(*headers)) == TWICE
    assert taking.tokens == []


async def test_a_request_that_another_site_may_have_caused_is_refused(
    authenticator: CookieAuthenticator, taking: Fixed
) -> None:
    answer = await authenticator.authenticate(cookies(b"token=abc", forgeable=True))
    assert isinstance(answer, BadCredentials)
    assert answer.code == "cross_site"
    assert "Origin or Sec-Fetch-Site" in answer.reason
    assert taking.tokens == []


async def test_without_the_cookie_nothing_can_be_forged(
    authenticator: CookieAuthenticator,
) -> None:
    answer = await authenticator.authenticate(cookies(b"a=b", forgeable=True))
    assert answer == NoCredentials()


async def test_the_header_is_not_looked_at(authenticator: CookieAuthenticator) -> None:
    assert await authenticator.authenticate(Credentials((b"Bearer a",))) == NoCredentials()


async def test_what_is_said_of_the_token_is_the_answer() -> None:
    expired = BadCredentials("the token has expired", "token_expired")
    authenticator = CookieAuthenticator(Fixed(expired), name="token")
    assert await authenticator.authenticate(cookies(b"token=abc")) is expired


@pytest.mark.parametrize(
    ("header", "cookie", "refused"),
    [
        ((b"Bearer a",), (b"token=b",), True),
        ((b"Bearer a",), (b"token=a",), True),
        ((b"Basic a",), (b"token=b",), True),
        ((b"Bearer a",), (b"token=",), False),
        ((b"Bearer a",), (b"other=b",), False),
        ((b"Bearer a", b"Bearer b"), (), False),
        ((), (b"token=a; token=b",), False),
        ((), (), False),
    ],
)
@pytest.mark.parametrize("forgeable", [False, True])
async def test_a_token_in_the_header_and_another_in_the_cookie_are_one_too_many(
    header: tuple[bytes, ...], cookie: tuple[bytes, ...], *, refused: bool, forgeable: bool
) -> None:
    presented = Credentials(header, cookie, forgeable=forgeable)
    answer = await OneCredential(cookie_name="token").authenticate(presented)
    if refused:
        assert isinstance(answer, BadCredentials)
        assert answer.code == "several_credentials"
    else:
        assert answer == NoCredentials()


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "tokén", "token\n", '"token"', "a,b"])
def test_a_name_that_no_cookie_can_have_is_a_mistake(taking: Fixed, name: str) -> None:
    with pytest.raises(ConfigurationError, match="no cookie can have the name"):
        CookieAuthenticator(taking, name=name)
    with pytest.raises(ConfigurationError, match="no cookie can have the name"):
        OneCredential(cookie_name=name)


@pytest.mark.parametrize("name", ["access_token", "__Host-token", "!#$%&'*+-.^_`|~0Az"])
async def test_any_other_name_will_do(taking: Fixed, name: str) -> None:
    authenticator = CookieAuthenticator(taking, name=name)
    assert await authenticator.authenticate(cookies(f"{name}=abc".encode())) is ALICE


@given(st.lists(st.tuples(st.sampled_from([b"token", b"a", b"b"]), cookie_values), max_size=6))
def test_every_cookie_that_a_browser_sends_is_found(pairs: list[tuple[bytes, bytes]]) -> None:
    header = b"; ".join(name + b"=" + value for name, value in pairs)
    wanted = [value for name, value in pairs if name == b"token"]
    assert cookies_named(b"token", (header,)) == wanted
    assert cookies_named(b"token", tuple(header.split(b"; "))) == wanted


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_bytes_are_cookies_or_none(headers: list[bytes]) -> None:
    for value in cookies_named(b"token", tuple(headers)):
        assert value
        assert b";" not in value
        assert any(b"token=" + value in header for header in headers)
