from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from licet.authn.keys import load_key
from licet.cli.algorithms import (
    algorithms_of,
    chosen,
    load_private_key,
    public_half,
    secret_with_algorithms,
)
from licet.errors import ConfigurationError, InvalidInputError


def pem(
    key: PrivateKeyTypes,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@pytest.mark.parametrize(
    ("key", "usual"),
    [
        (rsa_key(), "RS256"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ec.generate_private_key(ec.SECP521R1()), "ES512"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
        (ed448.Ed448PrivateKey.generate(), "EdDSA"),
    ],
    ids=["rsa", "p256", "p384", "p521", "ed25519", "ed448"],
)
def test_the_type_of_a_key_gives_its_usual_algorithm(key: PrivateKeyTypes, usual: str) -> None:
    public = public_half(load_private_key(pem(key), source="k"), source="k")
    assert chosen(None, algorithms_of(public), source="k") == usual


def test_older_pem_forms_are_read() -> None:
    traditional = pem(rsa_key(), PrivateFormat.TraditionalOpenSSL)
    public = public_half(load_private_key(traditional, source="k"), source="k")
    assert algorithms_of(public)[0] == "RS256"


def test_a_small_rsa_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^k: .*1024 bits; at least 2048"):
        public_half(rsa_key(1024), source="k")


def test_a_curve_without_an_algorithm_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256K1())
    with pytest.raises(ConfigurationError, match="secp256k1"):
        public_half(key, source="k")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not a private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a private key"),
        (b"\xff\x00", "not a private key"),
        (pem(rsa_key(), encryption=BestAvailableEncryption(b"x")), "encrypted"),
        (
            rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "a public key signs nothing",
        ),
    ],
    ids=["empty", "broken", "binary", "encrypted", "public"],
)
def test_what_cannot_sign_is_refused_and_its_source_is_named(text: bytes, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^my.pem: .*{message}"):
        load_private_key(text, source="my.pem")


def test_a_key_of_a_type_that_signs_no_tokens_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^k: a X25519PublicKey"):
        public_half(x25519.X25519PrivateKey.generate(), source="k")


def test_a_secret_is_the_one_that_the_server_reads_from_the_same_file() -> None:
    read_by_server = load_key(b"x" * 40 + b" \n", allowed=["HS256"]).material
    assert secret_with_algorithms(b"x" * 40 + b" \n", source="s")[0] == read_by_server


@pytest.mark.parametrize(
    ("length", "fitting"),
    [(32, ("HS256",)), (48, ("HS256", "HS384")), (64, ("HS256", "HS384", "HS512"))],
)
def test_a_secret_serves_where_it_is_long_enough(length: int, fitting: tuple[str, ...]) -> None:
    secret = b"x" * length
    assert secret_with_algorithms(secret, source="s") == (secret, fitting)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^s: .*31 bytes; at least 32"):
        secret_with_algorithms(b"x" * 31, source="s")


def test_a_key_never_serves_as_a_secret() -> None:
    with pytest.raises(ConfigurationError, match="no secret; use --key"):
        secret_with_algorithms(pem(rsa_key()), source="s")


def test_an_algorithm_of_another_family_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="k signs with ES256, not with 'HS256'"):
        chosen("HS256", ("ES256",), source="k")
