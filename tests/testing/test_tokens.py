from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import licet.testing
from licet.authn.keys import ALGORITHMS
from licet.errors import ConfigurationError
from licet.testing import TokenFactory, key_set
from licet.utils.cryptography import generate_rsa_keys

NOW = 1_800_000_000


def factory(algorithm: str = "RS256", **given: Any) -> TokenFactory:
    return TokenFactory(algorithm, now=lambda: NOW + 0.9, **given)


def read(token: str, tokens: TokenFactory) -> dict[str, Any]:
    """What PyJWT, which knows nothing of us, reads."""
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    claims: dict[str, Any] = jwt.decode(
        token, tokens.public_key, algorithms=[tokens.algorithm], options=options
    )
    return claims


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_tokens_verify_with_the_public_key(algorithm: str) -> None:
    tokens = factory(algorithm)
    token = tokens.token("alice", scopes=("agents:read",), expires_in_seconds=60)
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "typ": "JWT"}
    assert read(token, tokens) == {
        "sub": "alice",
        "scopes": ["agents:read"],
        "iat": NOW,
        "exp": NOW + 60,
    }


def test_scopes_can_be_one_text() -> None:
    assert factory().claims("alice", scopes="agents:read agents:run")["scopes"] == (
        "agents:read agents:run"
    )


def test_a_token_is_good_for_an_hour() -> None:
    assert factory().claims("alice")["exp"] == NOW + 3600


def test_claims_can_be_added_replaced_and_removed() -> None:
    tokens = factory()
    token = tokens.token("alice", aud="os", iat=None, scopes=["a:b"], exp=1, session_id="s1")
    assert read(token, tokens) == {
        "sub": "alice",
        "scopes": ["a:b"],
        "aud": "os",
        "exp": 1,
        "session_id": "s1",
    }
    assert read(tokens.token("alice", sub=None), tokens).get("sub") is None


def test_a_key_id_stands_in_the_header() -> None:
    token = factory(key_id="k1").token("alice")
    assert jwt.get_unverified_header(token)["kid"] == "k1"


def test_anything_can_be_signed() -> None:
    tokens = factory("HS256")
    odd = tokens.sign({"iss": 7}, headers={"typ": None, "x": [1], "alg": "none"})
    head, payload, _ = (part + "=" * (-len(part) % 4) for part in odd.split("."))
    assert json.loads(jwt.utils.base64url_decode(head)) == {"alg": "none", "x": [1]}
    assert json.loads(jwt.utils.base64url_decode(payload)) == {"iss": 7}
    junk = tokens.sign(b"\xff{").split(".")[1]
    assert jwt.utils.base64url_decode(junk) == b"\xff{"


def test_factories_of_one_algorithm_share_a_key_unless_they_shall_not() -> None:
    assert factory().public_key == TokenFactory().public_key
    assert factory("PS256").algorithm == "PS256"
    assert factory("ES256").public_key != factory("ES384").public_key
    assert factory(fresh_key=True).public_key != factory().public_key


def test_a_key_can_be_given() -> None:
    private_pem, public_pem = generate_rsa_keys()
    tokens = factory(private_key=private_pem)
    assert tokens.public_key == public_pem
    assert read(tokens.token("alice"), tokens)["sub"] == "alice"
    assert factory("HS256", private_key="s" * 32).public_key == "s" * 32


def test_other_algorithms_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="algorithm 'none'"):
        factory("none")


def test_a_factory_does_not_show_its_key() -> None:
    tokens = factory("HS256", private_key="s" * 32)
    assert repr(tokens) == "TokenFactory('HS256')"


def as_others_read(jwk: dict[str, Any], **changed: Any) -> Any:
    """The key of a JWK, as PyJWT reads it."""
    return jwt.PyJWK({**jwk, **changed}).key


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_the_public_key_is_a_jwk_that_verifies_the_tokens(algorithm: str) -> None:
    tokens = factory(algorithm, key_id="k1")
    jwk = tokens.jwk
    assert (jwk["alg"], jwk["use"], jwk["kid"]) == (algorithm, "sig", "k1")
    options: Any = {"verify_exp": False, "verify_iat": False}
    token = tokens.token("alice")
    claims = jwt.decode(token, as_others_read(jwk), algorithms=[algorithm], options=options)
    assert claims["sub"] == "alice"
    # The members of RFC 7518 §6 and RFC 8037 §2 that everybody may see; of HS "k" is the secret.
    public = {"kty", "alg", "use", "kid", "n", "e", "crv", "x", "y"}
    assert set(jwk) <= (public | {"k"} if algorithm.startswith("HS") else public)


def test_a_jwk_without_a_key_id_has_no_name() -> None:
    assert "kid" not in factory().jwk


def test_the_longer_curve_is_a_jwk_too() -> None:
    pem = ed448.Ed448PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    tokens = factory("EdDSA", private_key=pem.decode())
    assert tokens.jwk["crv"] == "Ed448"
    assert isinstance(as_others_read(tokens.jwk), ed448.Ed448PublicKey)


def test_several_factories_publish_one_key_set() -> None:
    old, new, curve = (
        factory(fresh_key=True, key_id="old"),
        factory(key_id="new"),
        factory("ES256"),
    )
    document = json.loads(key_set(old, new, curve))
    assert document == {"keys": [old.jwk, new.jwk, curve.jwk]}
    assert json.loads(key_set()) == {"keys": []}
    assert [key.key_id for key in jwt.PyJWKSet.from_json(key_set(old, new)).keys] == ["old", "new"]


@pytest.mark.parametrize("name", ["TokenFactory", "key_set"])
def test_it_is_imported_from_the_package(name: str) -> None:
    assert getattr(licet.testing, name) is globals()[name]
    assert name in licet.testing.__all__
