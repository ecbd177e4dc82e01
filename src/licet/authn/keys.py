"""Verification keys: each knows which algorithms it can serve, and serves no other."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from licet.errors import ConfigurationError

MIN_RSA_BITS, MAX_RSA_BITS, MAX_RSA_EXPONENT_BITS = 2048, 8192, 64
SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""How long a secret is at least (RFC 7518 §3.2)."""

RSA_ALGORITHMS = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
HMAC_ALGORITHMS = frozenset(SECRET_BYTES)
CURVE_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
ALGORITHMS = RSA_ALGORITHMS | HMAC_ALGORITHMS | frozenset((*CURVE_ALGORITHMS.values(), "EdDSA"))

# Either line is enough: a damaged key must not become a secret that everybody knows.
_PEM_LINE = re.compile(rb"----[- ](?:BEGIN|END) ")
# A line of authorized_keys, and what its base64 holds (RFC 4253 §6.6).
_OPENSSH = re.compile(rb"(?:ssh|ecdsa|sk)-\S+\s+AAAA|\A\0\0\0.(?:ssh|ecdsa|sk)-", re.DOTALL)


SECRET_KEY_ID = "secret"  # noqa: S105 - a name, and no secret
"""The key id of every shared secret: a digest of it would help whoever guesses."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key and what it is good for: that follows from its type, never from a token.

    ``key_id`` is the name that a key set gives to it (``kid``, then it is ``named``), else its
    thumbprint (RFC 7638). ``identity`` makes two loads of one key equal.
    """

    material: Any = field(repr=False, compare=False)
    algorithms: frozenset[str]
    key_id: str
    identity: bytes = field(repr=False)
    named: bool = False


def load_key(
    text: str | bytes, *, allowed: Iterable[str], source: str | None = None
) -> VerificationKey:
    """A key from PEM (public key or certificate), or a shared secret for HS algorithms.

    Of a certificate only the key is taken: its dates and its issuer are not looked at. ``source``
    names the key in messages.

    Raises:
        ConfigurationError: it cannot be used, or serves none of the allowed algorithms.
    """
    wanted = frozenset(allowed)
    try:
        given = _bytes_of(text)
        # UTF-16, which some editors write, is ASCII with NULs in between.
        is_pem = _PEM_LINE.search(given.replace(b"\0", b""))
        key = _public_key(given) if is_pem else _secret(given)
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error}" if source else str(error)) from None
    algorithms = key.algorithms & wanted
    if not algorithms:
        able = ", ".join(sorted(key.algorithms))
        raise ConfigurationError(
            f"{source or 'a verification key'} can serve {able}, "
            f"but the algorithms allowed are {', '.join(sorted(wanted))}: "
            "set algorithm= or algorithms= to what your auth server signs with"
        )
    return replace(key, algorithms=algorithms)


def public_key(material: Any) -> VerificationKey:
    """A key from what the cryptography library has loaded.

    Raises:
        ConfigurationError: it is too small, or of a kind that verifies no tokens.
    """
    algorithms = _algorithms_of(material)
    named = thumbprint(material)
    return VerificationKey(material, algorithms, named, identity=named.encode())


def secret_key(secret: bytes) -> VerificationKey:
    """A key from a shared secret.

    Raises:
        ConfigurationError: it is too short for every algorithm, or a public key.
    """
    if _is_public_key(secret) or _is_public_key(_unbase64(secret)):
        # Everybody knows it: as a secret it would let everybody sign.
        raise ConfigurationError(
            "a public key that is not in PEM form, and no secret; it has to begin with "
            "'-----BEGIN PUBLIC KEY-----'"
        )
    fitting = frozenset(name for name, least in SECRET_BYTES.items() if len(secret) >= least)
    if not fitting:
        raise ConfigurationError(
            f"a shared secret has {len(secret)} bytes; at least {min(SECRET_BYTES.values())} "
            "are needed (RFC 7518 §3.2), and a public key begins with '-----BEGIN PUBLIC KEY-----'"
        )
    return VerificationKey(secret, fitting, SECRET_KEY_ID, identity=secret)


def thumbprint(material: Any) -> str:
    """What names a public key wherever it is written down: base64url of SHA-256 (RFC 7638)."""
    members = _required_members(material)
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(canonical).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _required_members(material: Any) -> dict[str, str]:
    """The members that a thumbprint is made of (RFC 7638 §3.2, RFC 8037 §2)."""
    from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

    names: tuple[str, ...]
    if hasattr(material, "curve"):
        jwk, names = ECAlgorithm.to_jwk(material, as_dict=True), ("crv", "kty", "x", "y")
    elif hasattr(material, "public_numbers"):
        jwk, names = RSAAlgorithm.to_jwk(material, as_dict=True), ("e", "kty", "n")
    else:
        jwk, names = OKPAlgorithm.to_jwk(material, as_dict=True), ("crv", "kty", "x")
    return {name: str(jwk[name]) for name in names}


def _bytes_of(text: object) -> bytes:
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise ConfigurationError(
            f"a key is a text, not {type(text).__name__}; "
            "if it comes from an environment variable, that one is not set"
        )
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Not chained: that error carries the whole text.
        raise ConfigurationError("the text of the key is not Unicode; give it as bytes") from None


def _public_key(pem: bytes) -> VerificationKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from cryptography.x509 import InvalidVersion, load_pem_x509_certificate

    if b"PRIVATE KEY" in pem:
        raise ConfigurationError(
            "a private key was given as verification key: give the public key, "
            "and leave the private one with your auth server alone"
        )
    if pem.count(b"-----BEGIN") > 1:
        raise ConfigurationError("several keys in one text; give them one by one")
    try:
        if b"BEGIN CERTIFICATE" in pem:
            material: Any = load_pem_x509_certificate(pem).public_key()
        else:
            material = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm, InvalidVersion):
        raise ConfigurationError(
            "not a readable PEM public key; it begins with '-----BEGIN PUBLIC KEY-----' and has "
            "line breaks as the file has them"
        ) from None
    return public_key(material)


def _algorithms_of(material: Any) -> frozenset[str]:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(material, RSAPublicKey):
        if material.key_size < MIN_RSA_BITS:
            raise ConfigurationError(
                f"an RSA key of {material.key_size} bits; "
                f"at least {MIN_RSA_BITS} are needed (RFC 7518 §3.3)"
            )
        if material.key_size > MAX_RSA_BITS:
            raise ConfigurationError(
                f"an RSA key of {material.key_size} bits; at most {MAX_RSA_BITS} are taken: each "
                "token would keep the server busy"
            )
        if material.public_numbers().e.bit_length() > MAX_RSA_EXPONENT_BITS:
            raise ConfigurationError(
                f"an RSA key whose exponent has more than {MAX_RSA_EXPONENT_BITS} bits: each token "
                "would keep the server busy"
            )
        return RSA_ALGORITHMS
    if isinstance(material, EllipticCurvePublicKey):
        algorithm = CURVE_ALGORITHMS.get(material.curve.name)
        if algorithm is not None:
            return frozenset((algorithm,))
        raise ConfigurationError(f"the curve {material.curve.name!r} has no algorithm here")
    if isinstance(material, Ed25519PublicKey | Ed448PublicKey):
        return frozenset(("EdDSA",))
    raise ConfigurationError(f"a {type(material).__name__} cannot verify tokens")


def _secret(given: bytes) -> VerificationKey:
    # A text may bring the line break of its file; of random bytes each one counts.
    stripped = given.strip()
    secret = stripped if stripped.isascii() and stripped.decode().isprintable() else given
    return secret_key(secret)


def _is_public_key(text: bytes) -> bool:
    """Whether it is a key in another form than PEM: DER, OpenSSH, or a JWK."""
    from cryptography.x509 import InvalidVersion
    from jwt import InvalidKeyError
    from jwt.algorithms import HMACAlgorithm

    if not text:
        return False
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(text)
    except (InvalidKeyError, InvalidVersion):
        return True
    return _OPENSSH.search(text) is not None


def _unbase64(text: bytes) -> bytes:
    try:
        standard = b"".join(text.split()).replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
        return base64.b64decode(standard + b"=" * (-len(standard) % 4), validate=True)
    except ValueError:
        return b""
