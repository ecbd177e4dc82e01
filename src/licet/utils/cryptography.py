"""Key pairs for auth servers in tests, demos and first steps."""

from __future__ import annotations

from licet.errors import ConfigurationError

MIN_RSA_BITS = 2048
_PUBLIC_EXPONENT = 65537


def generate_rsa_keys(key_size_bits: int = MIN_RSA_BITS) -> tuple[str, str]:
    """A fresh RSA key pair: ``(private_pem, public_pem)``, PKCS 8 and SubjectPublicKeyInfo.

    The private key is not encrypted: keep it where only your auth server reads it.

    Raises:
        ConfigurationError: fewer than 2048 bits.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    if key_size_bits < MIN_RSA_BITS:
        raise ConfigurationError(f"RSA keys have at least {MIN_RSA_BITS} bits")
    key = rsa.generate_private_key(public_exponent=_PUBLIC_EXPONENT, key_size=key_size_bits)
    private_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public_pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private_pem.decode(), public_pem.decode()
