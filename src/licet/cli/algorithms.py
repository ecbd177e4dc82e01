"""Which algorithms a key signs with: those that its public half is taken for by the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from licet.authn.keys import ALGORITHMS, RSA_ALGORITHMS, VerificationKey, load_key
from licet.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

RSA = ("RS256", *sorted(RSA_ALGORITHMS - {"RS256"}))
_USUAL = frozenset(("RS256", "HS256"))


def load_private_key(pem: bytes, *, source: str) -> PrivateKeyTypes:
    """The private key in a PEM text; ``source`` says in messages where the text is from.

    Raises:
        ConfigurationError: it is not an unencrypted private key in PEM form.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if b"-----BEGIN PUBLIC KEY" in pem or b"-----BEGIN CERTIFICATE" in pem:
        raise ConfigurationError(f"{source}: a public key signs nothing; give the private key")
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:
        raise ConfigurationError(f"{source}: the key is encrypted; decrypt it first") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{source}: not a private key in PEM form") from None


def public_half(key: PrivateKeyTypes, *, source: str) -> VerificationKey:
    """What a server verifies with that takes what this key signs.

    Raises:
        ConfigurationError: no server would take what it signs.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public_pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return load_key(public_pem, allowed=ALGORITHMS, source=source)


def algorithms_of(key: VerificationKey) -> tuple[str, ...]:
    """The algorithms of a key, the usual one first (RFC 7518 §3.1, RFC 8037)."""
    return tuple(sorted(key.algorithms, key=lambda name: (name not in _USUAL, name)))


def secret_with_algorithms(text: bytes, *, source: str) -> tuple[bytes, tuple[str, ...]]:
    """The secret as the server reads it, and the algorithms for which it is long enough.

    Raises:
        ConfigurationError: it is too short for any (RFC 7518 §3.2), or is a key in PEM form.
    """
    if b"-----BEGIN " in text:
        raise ConfigurationError(f"{source}: a key in PEM form is no secret; use --key")
    key = load_key(text, allowed=ALGORITHMS, source=source)
    secret: bytes = key.material
    return secret, algorithms_of(key)


def chosen(algorithm: str | None, fitting: tuple[str, ...], *, source: str) -> str:
    """The algorithm that was asked for, else the usual one.

    Raises:
        InvalidInputError: the key does not fit the algorithm.
    """
    if algorithm is None:
        return fitting[0]
    if algorithm not in fitting:
        raise InvalidInputError(
            "--algorithm", f"{source} signs with {', '.join(fitting)}, not with {algorithm!r}"
        )
    return algorithm
