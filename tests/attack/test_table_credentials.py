"""Where a token may stand: in the header of that name, after its scheme, and once."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from licet.testing import TokenFactory
from tests.attack.forge import claims, forged
from tests.attack.target import VAULT, Target, Watch, pieces_of, target
from tests.support.world import World

TOKENS = TokenFactory()


@pytest.fixture(scope="module")
def by_header() -> Iterator[Target]:
    with target(World(tokens=TOKENS)) as made:
        yield made


@pytest.fixture(scope="module")
def token() -> bytes:
    return forged(TOKENS, claims())


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    return Watch(caplog, pieces_of(TOKENS.public_key))


SCHEMES: dict[str, Callable[[bytes], bytes]] = {
    "Basic": lambda t: b"Basic " + t,
    "Basic, in base64": lambda t: b"Basic " + base64.b64encode(b"olga:" + t),
    "no scheme": lambda t: t,
    "Digest": lambda t: b"Digest " + t,
    "Token": lambda t: b"Token " + t,
    "JWT": lambda t: b"JWT " + t,
    "DPoP": lambda t: b"DPoP " + t,
    "Bearer alone": lambda _: b"Bearer",
    "Bearer and a space": lambda _: b"Bearer ",
    "Bearer null": lambda _: b"Bearer null null",
    "a colon": lambda t: b"Bearer: " + t,
    "an equals sign": lambda t: b"Bearer=" + t,
    "nothing between": lambda t: b"Bearer" + t,
    "a tab between": lambda t: b"Bearer\t" + t,
    "quoted": lambda t: b'Bearer "' + t + b'"',
    "named": lambda t: b"Bearer token=" + t,
    "a parameter": lambda t: b"Bearer " + t + b"; a=b",
    "a comma after it": lambda t: b"Bearer " + t + b",",
    "two tokens": lambda t: b"Bearer " + t + b" " + t,
    "two, with a comma": lambda t: b"Bearer " + t + b", Bearer " + t,
    "Basic, then Bearer": lambda t: b"Basic b2xnYTpvbGdh, Bearer " + t,
    "Bearer twice": lambda t: b"Bearer Bearer " + t,
    "letters that look the same": lambda t: "\u0412earer ".encode() + t,
    "a longer name": lambda t: b"XBearer " + t,
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("which", SCHEMES)
def test_no_other_scheme(by_header: Target, watch: Watch, token: bytes, which: str) -> None:
    line = b"Authorization: " + SCHEMES[which](token)
    reason = "the Authorization header is not of the form 'Bearer <token>'"
    watch.refused(by_header, lambda: by_header.ask(line), sent=token, reason=reason)


@pytest.mark.parametrize(
    "line",
    [b"Authorization: bearer ", b"authorization: BEARER ", b"AUTHORIZATION:bEaReR   "],
)
def test_the_scheme_is_written_in_any_letters(
    by_header: Target, watch: Watch, token: bytes, line: bytes
) -> None:
    watch.let_in(by_header, lambda: by_header.ask(line + token))
    watch.let_in(by_header, lambda: by_header.ask(line + token + b" \t"))


@pytest.mark.parametrize("second", ["the same", "junk", "Basic", "empty"])
@pytest.mark.parametrize("first", ["before", "after"])
def test_two_headers(
    by_header: Target, watch: Watch, token: bytes, first: str, second: str
) -> None:
    good = b"Authorization: Bearer " + token
    other = {
        "the same": good,
        "junk": b"authorization: Bearer junk",
        "Basic": b"Authorization: Basic b2xnYTpvbGdh",
        "empty": b"Authorization:",
    }[second]
    lines = (good, other) if first == "before" else (other, good)
    watch.refused(
        by_header, lambda: by_header.ask(*lines), sent=token, reason="more than one Authorization"
    )


ELSEWHERE: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "the query": lambda t: {"path": f"{VAULT}?access_token={t.decode()}"},
    "the query, another name": lambda t: {"path": f"{VAULT}?token={t.decode()}"},
    "the query, as the header": lambda t: {
        "path": f"{VAULT}?Authorization={quote('Bearer ' + t.decode())}"
    },
    "a form": lambda t: {"method": "POST", "body": b"access_token=" + t},
    "a cookie": lambda t: {"lines": (b"Cookie: access_token=" + t,)},
    "a cookie of another name": lambda t: {"lines": (b"Cookie: Authorization=Bearer " + t,)},
}


@pytest.mark.parametrize("which", ELSEWHERE)
def test_nowhere_else(by_header: Target, watch: Watch, token: bytes, which: str) -> None:
    how = ELSEWHERE[which](token)
    lines = how.pop("lines", ())
    if how.get("method") == "POST":
        lines = (b"Content-Type: application/x-www-form-urlencoded",)
    watch.refused(
        by_header,
        lambda: by_header.ask(*lines, **how),
        sent=token,
        reason="Authorization header missing",
    )


@pytest.mark.parametrize(
    "name",
    [
        *("Proxy-Authorization", "X-Authorization", "X-Forwarded-Authorization"),
        *("Authorization-", "X-Access-Token", "X-Auth-Token", "X-Api-Key", "Authorisation"),
        *("HTTP_AUTHORIZATION", "Sec-WebSocket-Protocol", "X-Forwarded-User", "X-Remote-User"),
    ],
)
def test_in_no_other_header(by_header: Target, watch: Watch, token: bytes, name: str) -> None:
    line = f"{name}: Bearer ".encode() + token
    reason = "Authorization header missing"
    watch.refused(by_header, lambda: by_header.ask(line), sent=token, reason=reason)


def test_a_header_that_the_connection_names_is_still_one(
    by_header: Target, watch: Watch, token: bytes
) -> None:
    """RFC 9110 §7.6.1: whoever strips what ``Connection`` names would strip the token."""
    lines = (b"Authorization: Bearer " + token, b"Connection: authorization")
    watch.let_in(by_header, lambda: by_header.ask(*lines))
