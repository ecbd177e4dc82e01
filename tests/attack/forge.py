"""Tokens written by hand: each part can be anything."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jwt import get_algorithm_by_name

from licet.testing import TokenFactory

SUBJECT = "mallory"


def segment(content: bytes) -> bytes:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def claims(**changed: Any) -> dict[str, Any]:
    """The claims of a token that opens the vault; None takes a claim away."""
    now = int(time.time())
    usual = {"sub": SUBJECT, "scopes": ["vault:open"], "iat": now, "exp": now + 3600}
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


def with_text(given: Mapping[str, Any], **texts: str) -> bytes:
    """Claims as JSON in which some stand as the very text that is given."""
    members = {name: json.dumps(value) for name, value in given.items()} | texts
    return ("{" + ",".join(f"{json.dumps(n)}:{text}" for n, text in members.items()) + "}").encode()


def header_of(tokens: TokenFactory, **changed: Any) -> dict[str, Any]:
    """The header that an auth server writes; None takes a member away."""
    usual = {"alg": tokens.algorithm, "typ": "JWT", "kid": tokens.key_id}
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


def signature(signing_input: bytes, key: str | bytes, algorithm: str) -> bytes:
    """The signature over an input, by a PEM key or by any bytes as an HMAC secret."""
    return get_algorithm_by_name(algorithm).sign(signing_input, _prepared(key, algorithm))


def forged(
    tokens: TokenFactory,
    payload: Mapping[str, Any] | bytes,
    header: Mapping[str, Any] | bytes | None = None,
    *,
    key: str | bytes | None = None,
    algorithm: str | None = None,
) -> bytes:
    """A token of exactly this header and payload.

    Signed rightly, with the auth server's key, unless another key or algorithm is named.
    """
    first = header_of(tokens) if header is None else header
    parts = [p if isinstance(p, bytes) else json.dumps(p).encode() for p in (first, payload)]
    signing_input = b".".join(segment(part) for part in parts)
    made = signature(
        signing_input, tokens.private_key if key is None else key, algorithm or tokens.algorithm
    )
    return signing_input + b"." + segment(made)


def resigned(tokens: TokenFactory, header_segment: bytes, payload_segment: bytes) -> bytes:
    """A token of exactly these segments, signed rightly."""
    signing_input = header_segment + b"." + payload_segment
    made = signature(signing_input, tokens.private_key, tokens.algorithm)
    return signing_input + b"." + segment(made)


@lru_cache(maxsize=64)
def _prepared(key: str | bytes, algorithm: str) -> Any:
    if algorithm.startswith("HS"):
        # Not prepare_key(), which knows better than to take a public key for a secret.
        return key.encode() if isinstance(key, str) else key
    return get_algorithm_by_name(algorithm).prepare_key(key)
