from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from licet.authn.keys import ALGORITHMS, HMAC_ALGORITHMS, RSA_ALGORITHMS, load_key
from licet.errors import ConfigurationError
from tests.support.ids import without_keys

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL_RSA_KEY = rsa.generate_private_key(
    public_exponent=65537,
    key_size=1024,  # noqa: S505 - too small on purpose: it has to be refused
)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def public_pem(key: Any, kind: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, kind).decode())


def private_pem(
    key: Any,
    kind: PrivateFormat = PrivateFormat.PKCS8,
    encryption: Any = None,
) -> str:
    return str(key.private_bytes(Encoding.PEM, kind, encryption or NoEncryption()).decode())


def certificate(key: Any = RSA_KEY) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "auth server")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


def complaint(text: str | bytes, **given: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load_key(text, **{"allowed": ALGORITHMS, **given})
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "algorithms"),
    [
        (public_pem(RSA_KEY), RSA_ALGORITHMS),
        (public_pem(RSA_KEY, PublicFormat.PKCS1), RSA_ALGORITHMS),
        (certificate().public_bytes(Encoding.PEM), RSA_ALGORITHMS),
        (public_pem(EC_KEY), {"ES256"}),
        (public_pem(ec.generate_private_key(ec.SECP384R1())), {"ES384"}),
        (public_pem(ec.generate_private_key(ec.SECP521R1())), {"ES512"}),
        (public_pem(ed25519.Ed25519PrivateKey.generate()), {"EdDSA"}),
        (public_pem(ed448.Ed448PrivateKey.generate()), {"EdDSA"}),
        ("s" * 32, {"HS256"}),
        ("s" * 47, {"HS256"}),
        ("s" * 48, {"HS256", "HS384"}),
        ("s" * 64, HMAC_ALGORITHMS),
        (b"\x00" * 64, HMAC_ALGORITHMS),
    ],
    ids=without_keys,
)
def test_the_type_of_a_key_decides_what_it_serves(
    text: str | bytes, algorithms: frozenset[str]
) -> None:
    assert load_key(text, allowed=ALGORITHMS).algorithms == algorithms


def test_what_is_allowed_narrows_what_a_key_serves() -> None:
    key = load_key(public_pem(RSA_KEY), allowed=["RS256", "ES256", "HS256"])
    assert key.algorithms == {"RS256"}


@pytest.mark.parametrize(
    ("text", "allowed", "able"),
    [
        (public_pem(RSA_KEY), ["HS256"], "PS256, PS384, PS512, RS256, RS384, RS512"),
        (public_pem(EC_KEY), ["RS256", "ES384"], "ES256"),
        ("s" * 32, ["RS256"], "HS256"),
        ("s" * 32, ["HS512"], "HS256"),
    ],
    ids=without_keys,
)
def test_a_key_that_serves_nothing_that_is_allowed_is_refused(
    text: str, allowed: list[str], able: str
) -> None:
    message = complaint(text, allowed=allowed)
    assert f"can serve {able}, but the algorithms allowed are" in message
    assert "set algorithm=" in message
    assert text not in message


@pytest.mark.parametrize(
    "text",
    [
        private_pem(RSA_KEY),
        private_pem(RSA_KEY, PrivateFormat.TraditionalOpenSSL),
        private_pem(EC_KEY, PrivateFormat.TraditionalOpenSSL),
        private_pem(RSA_KEY, PrivateFormat.OpenSSH),
        private_pem(RSA_KEY, encryption=BestAvailableEncryption(b"x")),
        private_pem(ed25519.Ed25519PrivateKey.generate()),
        public_pem(RSA_KEY) + private_pem(RSA_KEY),
    ],
    ids=without_keys,
)
def test_a_private_key_is_refused_and_the_public_one_asked_for(text: str) -> None:
    message = complaint(text)
    assert "a private key was given" in message
    assert "give the public key" in message
    assert "MII" not in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (public_pem(SMALL_RSA_KEY), "an RSA key of 1024 bits; at least 2048"),
        (public_pem(ec.generate_private_key(ec.SECP256K1())), "the curve 'secp256k1' has no"),
        (public_pem(x25519.X25519PrivateKey.generate()), "a X25519PublicKey cannot verify tokens"),
        (public_pem(RSA_KEY) + public_pem(EC_KEY), "several keys in one text"),
        (public_pem(RSA_KEY).replace("\n", "\\n"), "not a readable PEM public key"),
        (public_pem(RSA_KEY)[:200], "not a readable PEM public key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "not a readable PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "not a readable PEM"),
        ("-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----", "not a readable PEM"),
        (public_pem(RSA_KEY).partition("\n")[2], "not a readable PEM public key"),
        (public_pem(RSA_KEY).encode("utf-16"), "not a readable PEM public key"),
        (f"---- BEGIN SSH2 PUBLIC KEY ----\n{'A' * 64}", "not a readable PEM public key"),
        ("", "a shared secret has 0 bytes; at least 32"),
        ("s" * 31, "a shared secret has 31 bytes; at least 32"),
    ],
    ids=without_keys,
)
def test_what_cannot_serve_is_refused_with_the_reason(text: str | bytes, reason: str) -> None:
    message = complaint(text)
    assert reason in message
    assert not any(word in message for word in str(text).split() if len(word) > 20)


def of_unknown_version() -> bytes:
    """A certificate in DER form whose version does not exist."""
    version = b"\xa0\x03\x02\x01"
    der = certificate().public_bytes(Encoding.DER)
    return der.replace(version + b"\x02", version + b"\x09", 1)


def test_a_certificate_of_a_version_that_does_not_exist_is_refused() -> None:
    wrong = of_unknown_version()
    body = base64.encodebytes(wrong).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"
    assert "not a readable PEM public key" in complaint(pem)


DER = RSA_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
OPENSSH = RSA_KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
JWK = json.dumps({"kty": "RSA", "n": "x" * 64, "e": "AQAB"})


@pytest.mark.parametrize(
    "text",
    [
        DER,
        base64.b64encode(DER),
        base64.encodebytes(DER),
        certificate().public_bytes(Encoding.DER),
        base64.b64encode(certificate().public_bytes(Encoding.DER)),
        of_unknown_version(),
        base64.urlsafe_b64encode(DER),
        base64.urlsafe_b64encode(DER).rstrip(b"="),
        base64.b64encode(public_pem(RSA_KEY).encode()),
        OPENSSH,
        b"\n" + OPENSSH + b" me@example.org\n",
        b'from="10.0.0.1",no-pty ' + OPENSSH,
        OPENSSH.split()[1],
        EC_KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        ed25519.Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        JWK,
        base64.b64encode(JWK.encode()),
        json.dumps({"keys": [json.loads(JWK)]}),
    ],
    ids=without_keys,
)
def test_a_public_key_in_no_form_serves_as_a_secret(text: str | bytes) -> None:
    assert "a public key that is not in PEM form, and no secret" in complaint(text)


def test_a_text_may_bring_the_line_break_of_its_file() -> None:
    for text in ("s" * 32 + "\n", b" " + b"s" * 32 + b"\r\n"):
        assert load_key(text, allowed=["HS256"]).material == b"s" * 32
    pem = "\n\n  " + public_pem(RSA_KEY) + "\n\n"
    assert load_key(pem, allowed=["RS256"]).algorithms == {"RS256"}


@pytest.mark.parametrize("secret", [b"\n" + b"\xfe" * 31 + b" ", b"\x01" * 32 + b"\n"])
def test_of_random_bytes_each_one_counts(secret: bytes) -> None:
    assert load_key(secret, allowed=["HS256"]).material == secret


@pytest.mark.parametrize(
    "secret", ["deadbeef" * 8, base64.b64encode(bytes(range(48))).decode(), "correct horse " * 3]
)
def test_a_secret_in_hex_or_base64_or_words_is_one(secret: str) -> None:
    material = load_key(secret, allowed=["HS256"]).material
    assert material == secret.strip().encode()


@pytest.mark.parametrize("nothing", [None, 7, ["s" * 32]])
def test_what_is_no_text_is_refused(nothing: Any) -> None:
    message = complaint(nothing, source="verification_keys[0]")
    assert message.startswith("verification_keys[0]: a key is a text, not ")
    assert "environment variable" in message


def test_a_text_that_is_not_unicode_is_refused_without_being_shown() -> None:
    """The environment gives such bytes as lone surrogates."""
    with pytest.raises(ConfigurationError, match="is not Unicode; give it as bytes") as refused:
        load_key("sesame" * 6 + "\udcff", allowed=ALGORITHMS)
    assert refused.value.__suppress_context__


def test_what_is_allowed_can_be_any_iterable() -> None:
    assert load_key("s" * 32, allowed=iter(["HS256"])).algorithms == {"HS256"}
    assert "the algorithms allowed are RS256:" in complaint("s" * 32, allowed=iter(["RS256"]))


def test_the_message_says_which_key_it_is() -> None:
    assert complaint("short", source="verification_keys[1]").startswith("verification_keys[1]: a ")
    message = complaint("s" * 32, allowed=["RS256"], source="verification_keys[1]")
    assert message.startswith("verification_keys[1] can serve HS256")
    assert complaint("short").startswith("a shared secret has 5 bytes")
    assert complaint("s" * 32, allowed=["RS256"]).startswith("a verification key can serve HS256")


def test_a_key_does_not_show_itself() -> None:
    assert "hushhush" not in repr(load_key("hushhush" * 6, allowed=["HS256"]))
