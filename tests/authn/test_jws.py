from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authn.jws import decode_segment, json_object, parse_token
from licet.authn.refusal import TokenRefusedError


def segment(content: bytes | dict[str, Any]) -> bytes:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(header: bytes | dict[str, Any], payload: bytes = b"{}") -> bytes:
    return b".".join((segment(header), segment(payload), segment(b"signature")))


def test_a_token_is_taken_apart() -> None:
    signed = parse_token(token({"alg": "RS256", "typ": "JWT", "kid": "k1"}, b'{"sub":"x"}'))
    assert (signed.algorithm, signed.key_id) == ("RS256", "k1")
    assert signed.signature == b"signature"
    assert signed.signing_input.endswith(b"." + signed.payload_segment)
    assert decode_segment(signed.payload_segment, "payload") == b'{"sub":"x"}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not three segments"),
        (b"a.b", "not three segments"),
        (b"a.b.c.d", "not three segments"),
        (b"a.b.c.d.e", "encrypted tokens"),
        (b"..", "the header is not JSON"),
    ],
)
def test_other_numbers_of_segments_are_refused(text: bytes, reason: str) -> None:
    with pytest.raises(TokenRefusedError, match=reason):
        parse_token(text)


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_these_types_are_taken_in_any_case(kind: str) -> None:
    assert parse_token(token({"alg": "RS256", "typ": kind})).algorithm == "RS256"
    assert parse_token(token({"alg": "RS256"})).key_id is None


@pytest.mark.parametrize(
    ("kind", "taken"),
    [("logout+jwt", True), ("LOGOUT+JWT", True), ("JWT", False), ("at+jwt", False), (None, False)],
)
def test_other_types_can_be_asked_for(kind: str | None, *, taken: bool) -> None:
    text = token({"alg": "RS256", **({} if kind is None else {"typ": kind})})
    types = frozenset(("logout+jwt", "x"))
    if taken:
        assert parse_token(text, types=types).algorithm == "RS256"
    else:
        with pytest.raises(TokenRefusedError, match=r"typ is neither logout\+jwt nor x"):
            parse_token(text, types=types)


@pytest.mark.parametrize("key_id", ["k", "k" * 255, "2026-11 (öffentlich)"])
def test_a_key_id_is_printable_text(key_id: str) -> None:
    assert parse_token(token({"alg": "RS256", "kid": key_id})).key_id == key_id


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "RS256", "typ": "JWE"}, "typ is neither"),
        ({"alg": "RS256", "typ": "application/jwt"}, "typ is neither"),
        ({"alg": "RS256", "typ": "dpop+jwt"}, "typ is neither"),
        ({"alg": "RS256", "typ": ""}, "typ is neither"),
        ({"alg": "RS256", "typ": None}, "typ is neither"),
        ({"alg": "RS256", "typ": 1}, "typ is neither"),
        ({"alg": "RS256", "crit": ["exp"]}, "an extension that is not known"),
        ({"alg": "RS256", "crit": []}, "an extension that is not known"),
        ({"alg": "RS256", "crit": None}, "an extension that is not known"),
        ({"alg": "RS256", "b64": False}, "an extension that is not known"),
        ({"alg": "RS256", "b64": False, "crit": ["b64"]}, "an extension that is not known"),
        ({"alg": "RS256", "jwk": {"kty": "RSA"}}, r"its own key \(jwk\)"),
        ({"alg": "RS256", "jku": "https://x.example"}, r"its own key \(jku\)"),
        ({"alg": "RS256", "x5u": "https://x.example"}, r"its own key \(x5u\)"),
        ({"alg": "RS256", "x5c": ["MII"]}, r"its own key \(x5c\)"),
        ({"alg": "RS256", "jwk": None}, r"its own key \(jwk\)"),
        ({}, "names no algorithm"),
        ({"alg": None}, "names no algorithm"),
        ({"alg": ["RS256"]}, "names no algorithm"),
        ({"alg": "RS256", "kid": 7}, "kid is not a text"),
        ({"alg": "RS256", "kid": None}, "kid is not a text"),
        ({"alg": "RS256", "kid": ""}, "kid is not a text"),
        ({"alg": "RS256", "kid": "k" * 256}, "kid is not a text"),
        ({"alg": "RS256", "kid": "k\n1"}, "kid is not a text"),
    ],
)
def test_headers_that_ask_for_something_else_are_refused(
    header: dict[str, Any], reason: str
) -> None:
    with pytest.raises(TokenRefusedError, match=reason):
        parse_token(token(header))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'"text"', "is not a JSON object"),
        (b"7", "is not a JSON object"),
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"{} {}", "is not JSON"),
        (b"{'a':1}", "is not JSON"),
        (b'{"a":1,}', "is not JSON"),
        (b'{"a":"\n"}', "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"\xff\xfe{\x00}\x00", "is not JSON"),
        ('{"a":1}'.encode("utf-16"), "is not JSON"),
        (b'{"a":"\xff"}', "is not JSON"),
        (b'{"a":"\\ud800"}', "is not JSON"),
        (b'{"\\udfff":1}', "is not JSON"),
        (b'{"a":[{"b":"x\\uDEADy"}]}', "is not JSON"),
        (b'{"a":' + b"1" * 5000 + b"}", "is not JSON"),
        (b'{"a":NaN}', "has a number that is none"),
        (b'{"a":Infinity}', "has a number that is none"),
        (b'{"a":[-Infinity]}', "has a number that is none"),
        (b'{"a":1e999}', "has a number that is none"),
        (b'{"a":-1e999}', "has a number that is none"),
        (b'{"a":1,"a":1}', "has a member twice"),
        (b'{"a":1,"\\u0061":2}', "has a member twice"),
        (b'{"x":{"a":1,"a":2}}', "has a member twice"),
        (b'{"x":[[{"a":1,"a":2}]]}', "has a member twice"),
        (b'{"x":' + b"[" * 8000 + b"]" * 8000 + b"}", "is not JSON"),
        (b'{"x":' * 2000 + b"1" + b"}" * 2000, "is not JSON"),
    ],
)
def test_json_that_can_be_read_in_two_ways_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(TokenRefusedError, match=f"the payload {reason}"):
        json_object(text, "payload")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"{}", {}),
        (b' {"a": [1, 1.5, true, null, "\\u00e4"]} ', {"a": [1, 1.5, True, None, "ä"]}),
        (b'{"a":{"x":1},"b":{"x":2}}', {"a": {"x": 1}, "b": {"x": 2}}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\N{GRINNING FACE}"}),
        (b'{"a":-0.5e-3}', {"a": -0.0005}),
    ],
)
def test_other_json_is_read(text: bytes, value: dict[str, Any]) -> None:
    assert json_object(text, "payload") == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"A", "not base64url"),
        (b"AAAAA", "not base64url"),
        (b"QQ==", "not canonical"),
        (b"QUI=", "not canonical"),
        (b"QR", "not canonical"),
        (b"QUJ", "not canonical"),
        (b"QU I", "not base64url"),
        (b"QUJD\n", "not canonical"),
        (b"+/+/", "not canonical"),
        (b"QU!JD", "not canonical"),
        (b"\xff\xff\xff\xff", "not canonical"),
    ],
)
def test_another_spelling_of_base64url_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(TokenRefusedError, match=f"the signature is {reason}"):
        decode_segment(text, "signature")


@given(st.binary())
def test_what_was_encoded_is_decoded(content: bytes) -> None:
    assert decode_segment(segment(content), "payload") == content


@given(st.binary(min_size=1))
def test_a_segment_has_one_spelling_only(text: bytes) -> None:
    try:
        content = decode_segment(text, "payload")
    except TokenRefusedError:
        return
    assert segment(content) == text
