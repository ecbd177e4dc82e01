"""Signatures of the audit chain: HMAC with a secret, or Ed25519 with a private key.

A chain of hashes alone could be computed anew by whoever can write the table. With Ed25519 the
key that verifies is public: whoever audits needs no secret.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from licet.authn.keys import thumbprint
from licet.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

MIN_SECRET_BYTES = 32
SECRET_KEY_ID = "hmac"  # noqa: S105 - a name, and no secret
"""The key id of every secret: a digest of it would help whoever guesses."""

_PEM = b"-----BEGIN "


class Verifier(Protocol):
    """Says whether a signature is good."""

    @property
    def key_id(self) -> str:
        """Which key it is."""

    def verifies(self, message: bytes, signature: str) -> bool:
        """Whether the key made this signature of the message."""


class Signer(Verifier, Protocol):
    """Signs."""

    def sign(self, message: bytes) -> str:
        """The signature, as text."""


@dataclass(frozen=True, slots=True)
class HmacSigner:
    """HMAC with SHA-256: whoever can verify could have signed."""

    secret: bytes = field(repr=False)

    @property
    def key_id(self) -> str:
        """The same for all secrets."""
        return SECRET_KEY_ID

    def sign(self, message: bytes) -> str:
        """The code, base64url."""
        return _text(hmac.digest(self.secret, message, hashlib.sha256))

    def verifies(self, message: bytes, signature: str) -> bool:
        """Whether it is the code of the message."""
        # Of bytes: a text with other letters than ASCII's would be an error.
        return hmac.compare_digest(self.sign(message).encode(), signature.encode())


@dataclass(frozen=True, slots=True)
class Ed25519Verifier:
    """A public key."""

    public: Ed25519PublicKey = field(repr=False)
    key_id: str

    def verifies(self, message: bytes, signature: str) -> bool:
        """Whether the private key made it."""
        from cryptography.exceptions import InvalidSignature

        try:
            decoded = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
            self.public.verify(decoded, message)
        except (InvalidSignature, ValueError):
            return False
        # The decoder passes over what it does not know: then another text would do as well.
        return _text(decoded) == signature


@dataclass(frozen=True, slots=True)
class Ed25519Signer:
    """A private key."""

    private: Ed25519PrivateKey = field(repr=False)
    verifier: Ed25519Verifier

    @property
    def key_id(self) -> str:
        """The thumbprint of the public key (RFC 7638)."""
        return self.verifier.key_id

    def sign(self, message: bytes) -> str:
        """The signature, base64url."""
        return _text(self.private.sign(message))

    def verifies(self, message: bytes, signature: str) -> bool:
        """Whether this key made it."""
        return self.verifier.verifies(message, signature)


def load_signer(text: str | bytes) -> Signer:
    """What signs with an Ed25519 private key (PEM), or with a secret of at least 32 bytes.

    Raises:
        ConfigurationError: it is neither.
    """
    given = _bytes(text)
    if _PEM not in given:
        return _secret(given)
    key = _loaded(given)
    if hasattr(key, "sign"):
        public = key.public_key()
        return Ed25519Signer(key, Ed25519Verifier(public, thumbprint(public)))
    raise ConfigurationError("the audit key is a public key: signing needs the private one")


def load_verifier(text: str | bytes) -> Verifier:
    """What verifies with an Ed25519 key (PEM, public or private), or with the secret.

    Raises:
        ConfigurationError: it is neither.
    """
    given = _bytes(text)
    if _PEM not in given:
        return _secret(given)
    key = _loaded(given)
    public = key.public_key() if hasattr(key, "sign") else key
    return Ed25519Verifier(public, thumbprint(public))


def _loaded(pem: bytes) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
        load_pem_public_key,
    )

    try:
        private = b"PRIVATE KEY" in pem
        key = load_pem_private_key(pem, password=None) if private else load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError("the audit key is no readable PEM key") from None
    if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        raise ConfigurationError(
            "the audit key is no Ed25519 key; make one with "
            "'licet keys generate --algorithm EdDSA --out audit'"
        )
    return key


def _secret(given: bytes) -> HmacSigner:
    secret = given.strip()
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"the audit key has {len(secret)} bytes; at least {MIN_SECRET_BYTES} are needed "
            "for a secret, and an Ed25519 key begins with '-----BEGIN PRIVATE KEY-----'"
        )
    return HmacSigner(secret)


def _bytes(text: str | bytes) -> bytes:
    # What the environment holds need not be UTF-8.
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def _text(signature: bytes) -> str:
    return urlsafe_b64encode(signature).rstrip(b"=").decode()
