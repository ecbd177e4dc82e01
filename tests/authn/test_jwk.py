"""JSON Web Keys and their sets: what a key says of itself is kept to."""

from __future__ import annotations

import base64
import json
from typing import Any

import hypothesis.strategies as st
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from hypothesis import given

from licet.authn.jwk import (
    MAX_KEY_SET_BYTES,
    MAX_KEYS,
    KeySetError,
    ParsedKeySet,
    UnusableKeyError,
    parse_key,
    parse_key_set,
)
from licet.authn.keys import ALGORITHMS, load_key, thumbprint
from licet.testing import TokenFactory

RSA = TokenFactory("RS256", key_id="rsa").jwk
EC = TokenFactory("ES256", key_id="ec").jwk
OKP = TokenFactory("EdDSA", key_id="okp").jwk
SECRET = {"kty": "oct", "k": base64.urlsafe_b64encode(b"k" * 32).rstrip(b"=").decode()}


def without(jwk: dict[str, Any], *names: str, **more: Any) -> dict[str, Any]:
    return {n: v for n, v in {**jwk, **more}.items() if n not in names}


def text_of(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def parsed(*keys: Any, secrets: bool = False, allowed: Any = ALGORITHMS) -> ParsedKeySet:
    return parse_key_set(text_of(*keys), allowed=allowed, secrets=secrets, source="the set")


def reason(jwk: Any, *, secrets: bool = True) -> str:
    with pytest.raises(UnusableKeyError) as refused:
        parse_key(jwk, secrets=secrets)
    return str(refused.value)


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_key_of_each_type_is_the_one_that_pem_gives(algorithm: str) -> None:
    factory = TokenFactory(algorithm, key_id="one")
    key = parse_key(factory.jwk, secrets=False)
    pem = load_key(factory.public_key, allowed=[algorithm])
    assert key.algorithms == pem.algorithms == {algorithm}
    assert (key.key_id, key.named) == ("one", True)
    assert key.identity == pem.identity


def test_a_key_without_a_name_is_called_by_its_thumbprint() -> None:
    key = parse_key(without(RSA, "kid"), secrets=False)
    assert (key.key_id, key.named) == (thumbprint(key.material), False)


def test_a_key_without_an_algorithm_serves_all_of_its_type() -> None:
    assert "PS512" in parse_key(without(RSA, "alg"), secrets=False).algorithms
    assert parse_key(without(EC, "alg", "use"), secrets=False).algorithms == {"ES256"}


def test_the_thumbprints_of_the_specifications() -> None:
    # RFC 7638 §3.1 and RFC 8037 appendix A.3.
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"
        "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY"
        "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f"
        "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    rsa = parse_key({"kty": "RSA", "n": modulus, "e": "AQAB"}, secrets=False)
    assert rsa.key_id == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    point = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    okp = parse_key({"kty": "OKP", "crv": "Ed25519", "x": point}, secrets=False)
    assert okp.key_id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(
    ("jwk", "said"),
    [
        ("text", "not an object"),
        ([], "not an object"),
        (without(RSA, use="enc"), "use"),
        (without(RSA, use=None), "use"),
        (without(RSA, key_ops=["sign"]), "key_ops"),
        (without(RSA, key_ops="verify"), "key_ops"),
        (without(RSA, key_ops=["verify", "verify"]), "key_ops"),
        (without(RSA, key_ops=["verify", 1]), "key_ops"),
        (without(RSA, "kty"), "unknown type"),
        (without(RSA, kty="DSA"), "unknown type"),
        (without(RSA, kty=["RSA"]), "unknown type"),
        (without(RSA, d="AQAB"), "private key"),
        (without(EC, d="AQAB"), "private key"),
        (without(RSA, alg="ES256"), "'ES256'"),
        (without(RSA, alg="RSA-OAEP"), "(it)"),
        (without(RSA, alg=None), "(it)"),
        (without(RSA, kid=""), "kid"),
        (without(RSA, kid=7), "kid"),
        (without(RSA, kid="a\n"), "kid"),
        (without(RSA, kid="k" * 256), "kid"),
        (without(RSA, "n"), "'n'"),
        (without(RSA, n="ü"), "'n'"),
        (without(RSA, n="AQAB="), "'n'"),
        (without(RSA, n=""), "length"),
        (without(RSA, n="AQAB"), "no RSA key"),
        (without(RSA, n="_" * 171 + "w"), "bits"),
        (without(RSA, e="AQ"), "no RSA key"),
        (without(RSA, e="AAAE"), "no RSA key"),
        (without(RSA, e="f" * 44), "exponent"),
        (without(EC, crv="secp256k1"), "unknown curve"),
        (without(EC, crv=256), "unknown curve"),
        (without(EC, crv="P-384"), "length"),
        (without(EC, x=EC["y"]), "not on the curve"),
        (without(OKP, crv="X25519"), "unknown curve"),
        (without(OKP, x="AQAB"), "length"),
        ({"kty": "oct", "k": "AQAB"}, "3 bytes"),
        ({"kty": "oct"}, "'k'"),
    ],
)
def test_what_is_not_for_verifying_is_not_taken(jwk: Any, said: str) -> None:
    assert said in reason(jwk)


def test_an_operation_list_that_has_verify_is_fine() -> None:
    assert parse_key(without(RSA, key_ops=["verify", "encrypt"]), secrets=False).named


def test_rsa_keys_have_a_largest_size() -> None:
    numbers = RSAPublicNumbers(65537, (1 << 8200) + 1)
    encoded = base64.urlsafe_b64encode(numbers.n.to_bytes(1026)).rstrip(b"=").decode()
    assert "at most 8192" in reason({"kty": "RSA", "e": "AQAB", "n": encoded})


class TestSecrets:
    def test_a_file_may_hold_them_and_what_is_published_may_not(self) -> None:
        assert parse_key(SECRET, secrets=True).key_id == "secret"
        assert "shared secret" in reason(SECRET, secrets=False)

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
    def test_a_public_key_is_none(self, algorithm: str) -> None:
        pem = TokenFactory(algorithm).public_key.encode()
        encoded = base64.urlsafe_b64encode(pem).rstrip(b"=").decode()
        assert "public key" in reason({"kty": "oct", "k": encoded})


class TestSets:
    def test_what_cannot_be_used_is_skipped_with_the_reason(self) -> None:
        found = parsed(RSA, without(EC, use="enc"), OKP)
        assert {key.key_id for key in found.key_set.keys} == {"rsa", "okp"}
        assert found.skipped == ("keys[1]: not for signatures (use)",)

    def test_keys_serve_what_is_allowed(self) -> None:
        found = parsed(without(RSA, "alg"), EC, allowed=["RS256", "HS256"])
        assert [key.algorithms for key in found.key_set.keys] == [{"RS256"}]
        assert "set algorithm= or algorithms=" in found.skipped[0]

    def test_the_order_and_repetitions_change_nothing(self) -> None:
        assert parsed(RSA, EC, OKP).key_set == parsed(OKP, RSA, EC, RSA).key_set

    def test_an_empty_set_has_taken_all_keys_back(self) -> None:
        assert parsed().key_set.keys == ()

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (b"", "not JSON"),
            (b"[]", "not a JSON object"),
            (b'{"keys": [], "keys": []}', "twice"),
            (b"{}", "no key set"),
            (b'{"keys": {}}', "no key set"),
            (text_of(*[RSA] * (MAX_KEYS + 1)), "at most 100"),
            (b" " * (MAX_KEY_SET_BYTES + 1), "larger than"),
        ],
    )
    def test_what_is_no_set(self, text: bytes, said: str) -> None:
        with pytest.raises(KeySetError) as refused:
            parse_key_set(text, allowed=ALGORITHMS, secrets=True, source="the set")
        assert str(refused.value).startswith("the set")
        assert said in str(refused.value)

    def test_a_set_without_a_usable_key_holds_none_and_says_why(self) -> None:
        found = parsed(without(RSA, use="enc"))
        assert found.key_set.keys == ()
        assert found.complaint == "no key that can be used: keys[0]: not for signatures (use)"
        assert parsed(RSA, without(EC, use="enc")).complaint is None
        assert parsed().complaint is None

    def test_the_complaint_does_not_grow_with_the_set(self) -> None:
        said = parsed(*[without(RSA, use="enc")] * MAX_KEYS).complaint
        assert said is not None
        assert said.endswith("; and 95 more")
        assert len(said) < 500


@given(st.binary(max_size=200))
def test_any_bytes_are_a_set_or_refused(text: bytes) -> None:
    try:
        parse_key_set(text, allowed=ALGORITHMS, secrets=True, source="x")
    except KeySetError:
        return


members = st.sampled_from(["kty", "use", "key_ops", "alg", "kid", "n", "e", "crv", "x", "y", "k"])
values = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=20),
    st.lists(st.text(max_size=5), max_size=3),
    st.sampled_from(["RSA", "EC", "oct", "sig", "P-256", "Ed25519", "RS256", "AQAB"]),
)


@given(st.sampled_from([RSA, EC, OKP, SECRET]), st.dictionaries(members, values, max_size=3))
def test_a_changed_key_is_taken_or_skipped(jwk: dict[str, Any], changes: dict[str, Any]) -> None:
    try:
        found = parsed({**jwk, **changes}, RSA, secrets=True)
    except KeySetError:
        return
    for key in found.key_set.keys:
        assert key.algorithms <= ALGORITHMS
        assert key.algorithms
