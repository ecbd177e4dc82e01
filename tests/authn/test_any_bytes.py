"""Whatever is presented is verified or refused: no exception, and no door by accident."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.authn.base import Authenticated, Authentication, BadCredentials, Credentials
from licet.authn.bearer import BearerAuthenticator
from licet.authn.cache import CachingVerifier
from tests.authn.parts import NOW, Clock, factory, verifier

TOKENS = {name: factory(name) for name in ("RS256", "ES256", "EdDSA", "HS256")}
VALID = {name: tokens.token("alice", scopes=("a:b",)) for name, tokens in TOKENS.items()}
AUTHENTICATORS = {
    name: BearerAuthenticator(CachingVerifier(verifier(tokens), max_tokens=8, now=Clock()))
    for name, tokens in TOKENS.items()
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)
claim_names = st.sampled_from(
    ["sub", "exp", "nbf", "iat", "aud", "iss", "jti", "scopes", "scope", "session_id", "act"]
)


def present(value: bytes, algorithm: str = "RS256") -> Authentication:
    answer = AUTHENTICATORS[algorithm].authenticate(Credentials((value,)))
    assert isinstance(answer, Authenticated | BadCredentials)
    return answer


def encoded(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


@given(st.binary(max_size=200))
def test_any_header_is_refused(value: bytes) -> None:
    assert isinstance(present(value), BadCredentials)


@given(st.text("ABCabc012-_.=+/~", max_size=200))
def test_any_token_is_refused(token: str) -> None:
    assert isinstance(present(b"Bearer " + token.encode()), BadCredentials)


@given(st.dictionaries(st.text(), json_values), st.binary(max_size=50), st.binary(max_size=80))
def test_any_header_payload_and_signature_are_refused(
    header: dict[str, object], payload: bytes, signature: bytes
) -> None:
    head = json.dumps({"alg": "RS256", **header}).encode()
    token = b".".join(encoded(part) for part in (head, payload, signature))
    assert isinstance(present(b"Bearer " + token), BadCredentials)


@pytest.mark.parametrize("algorithm", sorted(TOKENS))
@settings(max_examples=60)
@given(data=st.data())
def test_a_changed_token_is_refused(algorithm: str, data: st.DataObject) -> None:
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
    answer = present(b"Bearer " + changed, algorithm)
    # White space around the header is no part of it, and a byte may be replaced by itself.
    same = changed.strip(b" \t") == token
    assert isinstance(answer, Authenticated if same else BadCredentials)


@pytest.mark.parametrize("place", range(-3, 0))
def test_the_last_characters_have_no_spare_bits(place: int) -> None:
    for algorithm, token in VALID.items():
        for byte in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=":
            changed = bytearray(token.encode())
            changed[place] = byte
            answer = present(b"Bearer " + changed, algorithm)
            assert isinstance(answer, Authenticated) is (changed == token.encode())


@given(st.dictionaries(claim_names, json_values))
def test_any_signed_claims_are_taken_or_refused(claims: dict[str, object]) -> None:
    token = TOKENS["HS256"].sign({"sub": "alice", "exp": NOW + 60, **claims})
    answer = present(b"Bearer " + token.encode(), "HS256")
    if isinstance(answer, Authenticated):
        principal = answer.principal
        assert principal.subject
        assert principal.expires_at is not None
        assert principal.expires_at > NOW - 10
        assert all(isinstance(scope, str) for scope in principal.scopes)
        assert principal.claims["sub"] == principal.subject


@given(st.binary(max_size=100))
def test_any_signed_payload_is_refused_unless_it_is_claims(payload: bytes) -> None:
    token = TOKENS["HS256"].sign(payload)
    assert isinstance(present(b"Bearer " + token.encode(), "HS256"), BadCredentials)


@given(st.lists(st.binary(max_size=20), min_size=2, max_size=4))
def test_several_headers_are_refused_whatever_they_hold(values: list[bytes]) -> None:
    valid = b"Bearer " + VALID["RS256"].encode()
    answer = AUTHENTICATORS["RS256"].authenticate(Credentials((valid, *values)))
    assert isinstance(answer, BadCredentials)


def test_valid_tokens_are_taken() -> None:
    for algorithm, token in VALID.items():
        answer = present(b"Bearer " + token.encode(), algorithm)
        assert isinstance(answer, Authenticated)
        assert answer.principal.scopes == ("a:b",)
