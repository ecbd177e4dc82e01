from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from licet.authn.bearer import MAX_TOKEN_BYTES
from licet.authn.jwt import IssuersVerifier, JwtVerifier
from licet.authn.keys import ALGORITHMS
from tests.authn.parts import (
    NOW,
    Clock,
    Keys,
    factory,
    issuer_of,
    keys_of,
    refusal,
    verified,
    verifier,
)

ASYMMETRIC = sorted(ALGORITHMS - {"HS256", "HS384", "HS512"})


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_every_algorithm_verifies(algorithm: str) -> None:
    tokens = factory(algorithm)
    assert verified(tokens.token("alice"), verifier(tokens)).subject == "alice"


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_another_key_does_not_verify(algorithm: str) -> None:
    token = factory(algorithm, fresh_key=True).token("alice")
    refused = refusal(token, verifier(factory(algorithm)))
    assert str(refused) == "the signature does not match any key"
    assert refused.code == "token_key"


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_signature_is_for_one_header_and_payload(algorithm: str) -> None:
    tokens = factory(algorithm)
    alice, bob = (tokens.token(name).split(".") for name in ("alice", "bob"))
    for parts in ((alice[0], bob[1], alice[2]), (alice[0], alice[1], bob[2])):
        assert "signature" in str(refusal(".".join(parts), verifier(tokens)))


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
@pytest.mark.parametrize("signature", [b"", b"\x00", b"\x00" * 64, b"\x00" * 256, b"\xff" * 9000])
def test_no_signature_made_up_verifies(algorithm: str, signature: bytes) -> None:
    tokens = factory(algorithm)
    head = tokens.token("alice").rpartition(".")[0]
    assert "signature" in str(refusal(f"{head}.{segment(signature)}", verifier(tokens)))


@pytest.mark.parametrize(
    ("algorithm", "named"),
    [
        ("HS256", "the algorithm 'HS256'"),
        ("PS256", "the algorithm 'PS256'"),
        ("none", "the token's algorithm"),
        ("None", "the token's algorithm"),
        ("", "the token's algorithm"),
        ("rs256", "the token's algorithm"),
        ("ES256K", "the token's algorithm"),
        ("<script>", "the token's algorithm"),
    ],
)
def test_only_allowed_algorithms_are_taken_and_strangers_words_are_not_repeated(
    algorithm: str, named: str
) -> None:
    tokens = factory()
    token = tokens.sign({"sub": "alice"}, headers={"alg": algorithm})
    why = str(refusal(token, verifier(tokens)))
    assert why == f"{named} is not allowed here; allowed: RS256"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE"])
def test_an_unsigned_token_is_refused(algorithm: str) -> None:
    header = segment(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    payload = segment(json.dumps({"sub": "admin", "exp": NOW + 60}).encode())
    for signature in ("", "AA"):
        token = f"{header}.{payload}.{signature}"
        assert "algorithm is not allowed" in str(refusal(token, verifier(factory())))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("with_secret", [False, True])
def test_a_public_key_is_never_a_secret(algorithm: str, *, with_secret: bool) -> None:
    tokens, secret = factory(algorithm), "s" * 64
    keys = [tokens.public_key, *([secret] if with_secret else [])]
    algorithms = [algorithm, *(["HS256"] if with_secret else [])]
    trusted = verifier(tokens, verification_keys=keys, algorithms=algorithms)
    header = segment(b'{"alg":"HS256","typ":"JWT"}')
    payload = segment(json.dumps({"sub": "admin", "exp": NOW + 60}).encode())
    for text in (tokens.public_key, tokens.public_key.strip()):
        mac = hmac.digest(text.encode(), f"{header}.{payload}".encode(), hashlib.sha256)
        refusal(f"{header}.{payload}.{segment(mac)}", trusted)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_a_key_serves_several_algorithms_but_a_token_says_which(algorithm: str) -> None:
    tokens = factory(algorithm)
    trusted = verifier(tokens, algorithms=["RS256", "PS256"])
    assert verified(tokens.token("alice"), trusted).subject == "alice"
    other = "PS256" if algorithm == "RS256" else "RS256"
    token = tokens.sign({"sub": "alice", "exp": NOW + 60}, headers={"alg": other})
    assert "signature" in str(refusal(token, trusted))


def test_any_of_several_keys_verifies() -> None:
    old, new, curve = factory(fresh_key=True), factory(), factory("ES256")
    trusted = verifier(
        old,
        verification_keys=[old.public_key, new.public_key, curve.public_key],
        algorithms=["RS256", "ES256"],
    )
    for tokens in (old, new, curve):
        assert verified(tokens.token("alice"), trusted).subject == "alice"
    foreign = factory(fresh_key=True).token("alice")
    assert "does not match any key" in str(refusal(foreign, trusted))


def test_an_allowed_algorithm_that_no_key_serves_is_refused() -> None:
    trusted = verifier(factory(), algorithms=["RS256", "ES256"])
    assert "does not match any key" in str(refusal(factory("ES256").token("alice"), trusted))


def test_a_short_secret_serves_the_short_algorithm_alone() -> None:
    short = factory("HS256", private_key="s" * 32)
    trusted = verifier(short, algorithms=["HS256", "HS512"])
    assert verified(short.token("alice"), trusted).subject == "alice"
    forged = factory("HS512", private_key="s" * 32).token("alice")
    assert "does not match any key" in str(refusal(forged, trusted))


@pytest.mark.parametrize("size", ["ES256", "ES384", "ES512"])
def test_a_curve_serves_its_own_algorithm_alone(size: str) -> None:
    tokens = factory(size)
    trusted = verifier(tokens, algorithms=["ES256", "ES384", "ES512"])
    for other in {"ES256", "ES384", "ES512"} - {size}:
        token = tokens.sign({"sub": "alice", "exp": NOW + 60}, headers={"alg": other})
        assert "does not match any key" in str(refusal(token, trusted))


def test_claims_are_not_read_before_the_signature_holds() -> None:
    tokens = factory()
    head, _, signature = tokens.token("alice").split(".")
    for payload in ("not*base64", segment(b"junk"), segment(b'{"exp": 1}')):
        assert "signature" in str(refusal(f"{head}.{payload}.{signature}", verifier(tokens)))


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"junk", "the payload is not JSON"),
        (b"[]", "the payload is not a JSON object"),
        (b'{"sub":"a","sub":"b"}', "the payload has a member twice"),
        (b'{"sub":"a","exp":NaN}', "the payload has a number that is none"),
        (b'{"sub":"\\ud800"}', "the payload is not JSON"),
        (b"[" * 10_000, "the payload is not JSON"),
    ],
)
def test_a_signed_payload_is_still_read_strictly(payload: bytes, why: str) -> None:
    tokens = factory()
    assert str(refusal(tokens.sign(payload), verifier(tokens))) == why


def test_the_token_id_is_the_same_for_every_signature_of_one_input() -> None:
    """ECDSA: with (r, s) also (r, -s) verifies, and each signing gives another r."""
    tokens = factory("ES256")
    token, again = (tokens.sign({"sub": "alice", "exp": NOW + 60}) for _ in range(2))
    head, _, last = token.rpartition(".")
    raw = base64.urlsafe_b64decode(last + "==")
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    assert decode_dss_signature(encode_dss_signature(r, order - s)) == (r, order - s)
    twin = f"{head}.{segment(r.to_bytes(32) + (order - s).to_bytes(32))}"
    assert len({token, again, twin}) == 3
    trusted = verifier(tokens)
    ids = {verified(text, trusted).token_id for text in (token, again, twin)}
    assert ids == {hashlib.sha256(head.encode()).hexdigest()}


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_no_other_spelling_of_a_token_verifies(algorithm: str) -> None:
    tokens = factory(algorithm)
    token = tokens.token("alice")
    head, payload, signature = token.split(".")
    for changed in (
        f"{token}=",
        f"{token}==",
        f"{token}\n",
        f" {token}",
        f"{token}.",
        f"{head}=.{payload}.{signature}",
        f"{head}.{payload}=.{signature}",
        f"{head}.{payload}.",
        f"{head}.{payload}",
    ):
        refusal(changed, verifier(tokens))


def of_size(size: int) -> str:
    """A valid token of this many bytes; base64url alone cannot give every length."""
    tokens, claims = factory("HS256"), {"sub": "alice", "exp": NOW + 60}
    for key_id in ("k", "kk", "kkk"):
        for pad in range(size * 3 // 4 - 200, size * 3 // 4):
            token = tokens.sign({**claims, "pad": "x" * pad}, headers={"kid": key_id})
            if len(token) == size:
                return token
    raise AssertionError(size)


def test_a_token_has_a_limit_wherever_it_comes_from() -> None:
    trusted = verifier(factory("HS256"))
    assert verified(of_size(MAX_TOKEN_BYTES), trusted).subject == "alice"
    refused = refusal(of_size(MAX_TOKEN_BYTES + 1), trusted)
    assert str(refused) == "the token is larger than 16384 bytes"


def test_eddsa_takes_the_longer_curve_too() -> None:
    key = ed448.Ed448PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    tokens = factory("EdDSA", private_key=pem)
    assert verified(tokens.token("alice"), verifier(tokens)).subject == "alice"
    both = verifier(tokens, verification_keys=[factory("EdDSA").public_key, tokens.public_key])
    for each in (factory("EdDSA"), tokens):
        assert verified(each.token("alice"), both).subject == "alice"
    assert "signature" in str(refusal(tokens.token("alice"), verifier(factory("EdDSA"))))


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_a_signature_has_one_length(algorithm: str) -> None:
    """A zero in front does not change a number, and does change a signature (RFC 8017 §8)."""
    tokens = factory(algorithm)
    head, _, last = tokens.token("alice").rpartition(".")
    raw = base64.urlsafe_b64decode(last + "==")
    for changed in (b"\x00" + raw, raw + b"\x00", raw[:-1], raw[1:], raw * 2):
        assert "signature" in str(refusal(f"{head}.{segment(changed)}", verifier(tokens)))


def test_the_clock_is_asked_at_each_verification() -> None:
    tokens = factory()
    token = tokens.token("alice", expires_in_seconds=60)
    assert verified(token, verifier(tokens, now=NOW + 69)).subject == "alice"
    refused = refusal(token, verifier(tokens, now=NOW + 70))
    assert (str(refused), refused.code) == ("the token has expired", "token_expired")


def test_the_key_that_made_the_signature_is_named_not_the_one_that_the_token_claims() -> None:
    """A revocation of a key has to hit what the key signed, whatever else that says."""
    tokens = factory()
    claimed = tokens.sign({"sub": "alice", "exp": NOW + 60}, headers={"kid": "harmless"})
    trusted = verifier(tokens)
    (key,) = trusted.issuer.keys.keys
    assert verified(claimed, trusted).key_id == key.key_id != "harmless"
    assert verified(tokens.token("alice"), trusted).key_id == key.key_id


def test_what_was_verified_stands_as_long_as_its_keys() -> None:
    tokens = factory(key_id="k1")
    keys = Keys(keys_of(tokens))
    trusted = JwtVerifier(issuer_of(tokens), keys, now=Clock())
    found = trusted.verify(tokens.token("alice").encode())
    assert (found.key_set, found.source, found.keys_are_current) == (keys.keys, keys, True)
    keys.keys = keys_of(tokens, factory("ES256"))
    assert not found.keys_are_current


ONE, TWO = (factory(fresh_key=True, key_id=name) for name in ("one", "two"))


def both(**rules: Any) -> IssuersVerifier:
    """Two issuers side by side, each with a key of its own."""
    return IssuersVerifier(
        [
            verifier(ONE, issuer="https://one.example", alias="first", **rules),
            verifier(TWO, issuer="https://two.example", alias="second", audience="other"),
        ]
    )


def test_a_token_is_verified_by_the_rules_of_the_issuer_that_it_names() -> None:
    first = verified(ONE.token("alice", iss="https://one.example", aud="os"), both())
    second = verified(TWO.token("alice", iss="https://two.example", aud="other"), both())
    assert (first.owner, second.owner) == ("first|alice", "second|alice")
    assert "another audience" in str(
        refusal(TWO.token("alice", iss="https://two.example", aud="os"), both())
    )


def test_no_issuer_speaks_for_another() -> None:
    for tokens, named in ((ONE, "https://two.example"), (TWO, "https://one.example")):
        assert refusal(tokens.token("alice", iss=named), both()).code == "token_key"
    one_key = IssuersVerifier(
        [
            verifier(ONE, issuer="https://one.example", alias="first"),
            verifier(ONE, issuer="https://two.example", alias="second"),
        ]
    )
    assert verified(ONE.token("alice", iss="https://two.example"), one_key).owner == "second|alice"


@pytest.mark.parametrize(
    "issuer",
    [None, "", "https://three.example", "https://one.example/", 7, ["https://one.example"]],
)
def test_an_issuer_that_is_not_trusted_is_refused_and_not_repeated(issuer: object) -> None:
    why = "the token is from an issuer that is not trusted (iss)"
    assert str(refusal(ONE.token("alice", iss=issuer), both())) == why


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (b"a.b", "not three segments"),
        (b"x" * (MAX_TOKEN_BYTES + 1), "larger than 16384 bytes"),
        (b"e30.e30.e30", "names no algorithm"),
        (b"eyJhbGciOiJSUzI1NiJ9.W10.AA", "the payload is not a JSON object"),
    ],
)
def test_what_is_no_token_is_refused_before_anything_is_believed(token: bytes, why: str) -> None:
    assert why in str(refusal(token, both()))
