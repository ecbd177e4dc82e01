"""Whatever is presented is verified or refused: no exception, and no door by accident."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.authn.base import (
    Authenticated,
    Authentication,
    Authenticator,
    BadCredentials,
    Credentials,
    NoCredentials,
)
from licet.authn.bearer import BearerAuthenticator
from licet.authn.cache import CachingVerifier
from licet.authn.cookie import CookieAuthenticator
from licet.authn.jwt import IssuersVerifier, JwtVerifier, TokenVerifier
from licet.authn.jwt_tokens import JwtTokens
from licet.authn.refusal import TokenRefusedError
from tests.authn.parts import NOW, Clock, cookies, factory, verifier
from tests.support.examples import examples

TOKENS = {name: factory(name) for name in ("RS256", "ES256", "EdDSA", "HS256")}
VALID = {
    name: tokens.token("alice", scopes=("a:b",), iss=f"https://{name}.example")
    for name, tokens in TOKENS.items()
}


def trusted(name: str) -> JwtVerifier:
    return verifier(TOKENS[name], issuer=f"https://{name}.example", alias=name)


def taking(tokens: TokenVerifier) -> JwtTokens:
    return JwtTokens(CachingVerifier(tokens, max_tokens=8, now=Clock()))


SEVERAL = IssuersVerifier([trusted(name) for name in TOKENS])
"""All of them, side by side."""

HEADER: dict[str, Authenticator] = {
    name: BearerAuthenticator(taking(trusted(name))) for name in TOKENS
}
HEADER_OF_SEVERAL = BearerAuthenticator(taking(SEVERAL))
COOKIE = CookieAuthenticator(taking(SEVERAL), name="token")
VERIFIERS: list[TokenVerifier] = [SEVERAL, *(trusted(name) for name in TOKENS)]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)
claim_names = st.sampled_from(
    [
        *("sub", "exp", "nbf", "iat", "aud", "iss", "jti", "sid", "act", "cnf", "typ"),
        *("scopes", "scope", "session_id"),
    ]
)


async def present(value: bytes, algorithm: str = "RS256") -> Authentication:
    """What is said of a header, which is the same with one issuer and with several."""
    answer = await HEADER[algorithm].authenticate(Credentials((value,)))
    of_several = await HEADER_OF_SEVERAL.authenticate(Credentials((value,)))
    assert isinstance(answer, Authenticated | BadCredentials)
    assert isinstance(of_several, Authenticated) or type(answer) is type(of_several)
    return answer


def encoded(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


@given(st.binary(max_size=200))
async def test_any_header_is_refused(value: bytes) -> None:
    assert isinstance(await present(value), BadCredentials)


@given(st.text("ABCabc012-_.=+/~", max_size=200))
async def test_any_token_is_refused(token: str) -> None:
    assert isinstance(await present(b"Bearer " + token.encode()), BadCredentials)


@given(st.dictionaries(st.text(), json_values), st.binary(max_size=50), st.binary(max_size=80))
async def test_any_header_payload_and_signature_are_refused(
    header: dict[str, object], payload: bytes, signature: bytes
) -> None:
    head = json.dumps({"alg": "RS256", **header}).encode()
    token = b".".join(encoded(part) for part in (head, payload, signature))
    assert isinstance(await present(b"Bearer " + token), BadCredentials)


@pytest.mark.parametrize("algorithm", sorted(TOKENS))
@settings(max_examples=examples(0.6))
@given(data=st.data())
async def test_a_changed_token_is_refused(algorithm: str, data: st.DataObject) -> None:
    token = VALID[algorithm].encode()
    place = data.draw(st.integers(0, len(token) - 1))
    kind = data.draw(st.sampled_from(["replace", "insert", "delete", "cut", "repeat"]))
    byte = bytes([data.draw(st.integers(0, 255))])
    changed = {
        "replace": token[:place] + byte + token[place + 1 :],
        "insert": token[:place] + byte + token[place:],
        "delete": token[:place] + token[place + 1 :],
        "cut": token[:place],
        "repeat": token + b"." + token[place:],
    }[kind]
    answer = await present(b"Bearer " + changed, algorithm)
    # White space around the header is no part of it, and a byte may be replaced by itself.
    same = changed.strip(b" \t") == token
    assert isinstance(answer, Authenticated if same else BadCredentials)


@pytest.mark.parametrize("place", range(-3, 0))
async def test_the_last_characters_have_no_spare_bits(place: int) -> None:
    for algorithm, token in VALID.items():
        for byte in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=":
            changed = bytearray(token.encode())
            changed[place] = byte
            answer = await present(b"Bearer " + changed, algorithm)
            assert isinstance(answer, Authenticated) is (changed == token.encode())


@given(st.dictionaries(claim_names, json_values))
async def test_any_signed_claims_are_taken_or_refused(claims: dict[str, object]) -> None:
    usual = {"sub": "alice", "exp": NOW + 60, "iss": "https://HS256.example"}
    token = TOKENS["HS256"].sign({**usual, **claims})
    answer = await present(b"Bearer " + token.encode(), "HS256")
    if isinstance(answer, Authenticated):
        principal = answer.principal
        assert principal.subject
        assert principal.expires_at is not None
        assert principal.expires_at > NOW - 10
        assert all(isinstance(scope, str) for scope in principal.scopes)
        assert principal.claims["sub"] == principal.subject


@given(st.binary(max_size=100))
async def test_any_signed_payload_is_refused_unless_it_is_claims(payload: bytes) -> None:
    token = TOKENS["HS256"].sign(payload)
    assert isinstance(await present(b"Bearer " + token.encode(), "HS256"), BadCredentials)


@given(st.lists(st.binary(max_size=20), min_size=2, max_size=4))
async def test_several_headers_are_refused_whatever_they_hold(values: list[bytes]) -> None:
    valid = b"Bearer " + VALID["RS256"].encode()
    answer = await HEADER["RS256"].authenticate(Credentials((valid, *values)))
    assert isinstance(answer, BadCredentials)


async def test_valid_tokens_are_taken() -> None:
    for algorithm, token in VALID.items():
        answer = await present(b"Bearer " + token.encode(), algorithm)
        assert isinstance(answer, Authenticated)
        assert answer.principal.scopes == ("a:b",)


@given(st.binary(max_size=200) | st.text("ABCabc012-_.=", max_size=200).map(str.encode))
def test_a_verifier_refuses_any_bytes_as_what_they_are(text: bytes) -> None:
    for each in VERIFIERS:
        with pytest.raises(TokenRefusedError):
            each.verify(text)


@given(st.lists(st.binary(max_size=80), max_size=4))
async def test_any_cookies_are_refused_or_none(headers: list[bytes]) -> None:
    answer = await COOKIE.authenticate(cookies(*headers))
    assert isinstance(answer, NoCredentials | BadCredentials)


@given(st.binary(max_size=80), st.binary(max_size=80), st.sampled_from(sorted(TOKENS)))
async def test_cookies_around_a_token_change_nothing_or_spoil_it(
    before: bytes, after: bytes, name: str
) -> None:
    cookie = b"token=" + VALID[name].encode()
    apart = b"; ".join((before.replace(b"token", b""), cookie, after.replace(b"token", b"")))
    assert isinstance(await COOKIE.authenticate(cookies(apart)), Authenticated)
    glued = before + cookie + after
    answer = await COOKIE.authenticate(cookies(glued))
    if isinstance(answer, Authenticated):
        assert answer.principal.issuer_alias == name
