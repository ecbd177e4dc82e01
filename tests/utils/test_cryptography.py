from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from licet.errors import ConfigurationError
from licet.utils.cryptography import generate_rsa_keys


def test_without_arguments_a_pair_of_2048_bits_is_made() -> None:
    private_pem, public_pem = generate_rsa_keys()
    assert private_pem.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert public_pem.startswith("-----BEGIN PUBLIC KEY-----\n")
    private = load_pem_private_key(private_pem.encode(), password=None)
    public = load_pem_public_key(public_pem.encode())
    assert isinstance(private, RSAPrivateKey)
    assert isinstance(public, RSAPublicKey)
    assert public.key_size == 2048
    assert public.public_numbers().e == 65537
    of_private = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert of_private.decode() == public_pem


def test_a_pair_can_be_larger() -> None:
    public = load_pem_public_key(generate_rsa_keys(3072)[1].encode())
    assert isinstance(public, RSAPublicKey)
    assert public.key_size == 3072


def test_two_pairs_differ() -> None:
    assert len({*generate_rsa_keys(), *generate_rsa_keys()}) == 4


@pytest.mark.parametrize("bits", [0, 512, 1024, 2047])
def test_a_pair_is_not_smaller(bits: int) -> None:
    with pytest.raises(ConfigurationError, match="at least 2048 bits"):
        generate_rsa_keys(bits)
