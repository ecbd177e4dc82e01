"""TokenFactory: the auth server of a test; key_set(): what several of them publish."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from licet.authn.keys import ALGORITHMS
from licet.errors import ConfigurationError
from licet.utils.cryptography import generate_rsa_keys


class TokenFactory:
    """Signs tokens as an auth server would.

    Args:
        algorithm: RS, PS, ES, EdDSA or HS.
        private_key: PEM, or the secret for HS; else a key is made, which factories of one
            algorithm share.
        key_id: the ``kid`` of the tokens' header, if there shall be one.
        fresh_key: make a key that no other factory has.
        now: gives epoch seconds.

    Attributes:
        public_key: what a server has to be given to take the tokens; of HS the secret itself.

    Raises:
        ConfigurationError: there is no such algorithm.
    """

    def __init__(
        self,
        algorithm: str = "RS256",
        *,
        private_key: str | None = None,
        key_id: str | None = None,
        fresh_key: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.algorithm = algorithm
        self.key_id = key_id
        from jwt import get_algorithm_by_name

        if algorithm not in ALGORITHMS:
            raise ConfigurationError(f"algorithm {algorithm!r}: one of {sorted(ALGORITHMS)}")
        if private_key is None:
            make = _make_private_key if fresh_key else _shared_private_key
            private_key = make(algorithm)
        self.private_key = private_key
        self._signing_key, self.public_key = _loaded(private_key, algorithm)
        self._signer = get_algorithm_by_name(algorithm)
        self._now = now

    def __repr__(self) -> str:
        return f"TokenFactory({self.algorithm!r})"

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key as a JSON Web Key (RFC 7517 §4): ``alg``, ``use``, ``kid`` if it has one.

        Of HS it is the secret itself.
        """
        key = self._signing_key
        verifying = key if isinstance(key, bytes) else key.public_key()
        members = self._signer.to_jwk(verifying, as_dict=True)
        # RFC 7517 §4.3: not beside "use".
        members.pop("key_ops", None)
        named = {} if self.key_id is None else {"kid": self.key_id}
        return {**members, "alg": self.algorithm, "use": "sig", **named}

    def claims(
        self,
        subject: str,
        *,
        scopes: Sequence[str] | str = (),
        expires_in_seconds: float = 3600,
        **claims: Any,
    ) -> dict[str, Any]:
        """The claims of a token. A claim that is given replaces the usual one; None removes it.

        ``scopes`` is a list, or one text with spaces between them.
        """
        now = int(self._now())
        usual = {
            "sub": subject,
            "scopes": scopes if isinstance(scopes, str) else list(scopes),
            "iat": now,
            "exp": now + int(expires_in_seconds),
        }
        return {name: value for name, value in {**usual, **claims}.items() if value is not None}

    def token(
        self,
        subject: str,
        *,
        scopes: Sequence[str] | str = (),
        expires_in_seconds: float = 3600,
        **claims: Any,
    ) -> str:
        """A signed token for a subject with these scopes."""
        return self.sign(
            self.claims(subject, scopes=scopes, expires_in_seconds=expires_in_seconds, **claims)
        )

    def sign(
        self, claims: Mapping[str, Any] | bytes, *, headers: Mapping[str, Any] | None = None
    ) -> str:
        """A token of exactly these claims, or of the bytes that stand for them.

        ``headers`` are added to its header; None removes one.
        """
        # By hand: jwt.encode() has opinions on claims and headers, and tests need wrong ones, too.
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        usual = {"alg": self.algorithm, "typ": "JWT", "kid": self.key_id}
        header = {n: v for n, v in {**usual, **(headers or {})}.items() if v is not None}
        signing_input = b".".join((_segment(json.dumps(header).encode()), _segment(payload)))
        signature = self._signer.sign(signing_input, self._signing_key)
        return b".".join((signing_input, _segment(signature))).decode()


def key_set(*factories: TokenFactory) -> str:
    """A document with the keys of these auth servers: a JSON Web Key Set (RFC 7517 §5)."""
    return json.dumps({"keys": [factory.jwk for factory in factories]})


def _segment(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _make_private_key(algorithm: str) -> str:
    import secrets

    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if algorithm.startswith("HS"):
        return secrets.token_hex(32)
    if algorithm.startswith(("RS", "PS")):
        return generate_rsa_keys()[0]
    curves: dict[str, ec.EllipticCurve] = {
        "ES256": ec.SECP256R1(),
        "ES384": ec.SECP384R1(),
        "ES512": ec.SECP521R1(),
    }
    key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
    if algorithm == "EdDSA":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = ec.generate_private_key(curves[algorithm])
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@lru_cache(maxsize=16)
def _shared_private_key(algorithm: str) -> str:
    return _make_private_key(algorithm)


@lru_cache(maxsize=64)
def _loaded(private_key: str, algorithm: str) -> tuple[Any, str]:
    """The key to sign with, and its public half as text.

    Kept: reading an RSA key checks its primes, which costs a hundred times what signing costs.
    """
    from cryptography.hazmat.primitives import serialization
    from jwt import get_algorithm_by_name

    key = get_algorithm_by_name(algorithm).prepare_key(private_key)
    if algorithm.startswith("HS"):
        return key, private_key
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return key, public.decode()
