"""Compact JWS, read strictly (RFC 7515, RFC 8725): one way to write a token, and only that.

What two parsers could understand in two ways is refused: padding and spare bits in base64url,
members that stand twice, numbers that are none, headers that ask for something we do not do.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from licet.authn.refusal import TokenRefusedError

_SEGMENTS, _JWE_SEGMENTS = 3, 5
ACCESS_TOKEN_TYPES = frozenset(("jwt", "at+jwt", "application/at+jwt"))
"""What ``typ`` may be, in lower case, of a token that opens something (RFC 9068 §2.1)."""

_EMBEDDED_KEYS = ("jwk", "jku", "x5u", "x5c")
_MAX_KEY_ID_CHARS = 255


@dataclass(frozen=True, slots=True)
class SignedToken:
    """The parts of a token whose signature has not been looked at yet."""

    algorithm: str
    key_id: str | None
    signing_input: bytes
    payload_segment: bytes
    signature: bytes


def parse_token(token: bytes, *, types: frozenset[str] = ACCESS_TOKEN_TYPES) -> SignedToken:
    """Take a token apart and check its header. ``types``: what ``typ`` may be, if it is there.

    Raises:
        TokenRefusedError: not a compact JWS, or with a header that is not taken.
    """
    segments = token.split(b".")
    if len(segments) == _JWE_SEGMENTS:
        raise TokenRefusedError("encrypted tokens (JWE) are not taken")
    if len(segments) != _SEGMENTS:
        raise TokenRefusedError("not three segments")
    header_segment, payload_segment, signature_segment = segments
    header = json_object(decode_segment(header_segment, "header"), "header")
    algorithm = _checked_header(header, types)
    return SignedToken(
        algorithm=algorithm,
        key_id=_key_id(header),
        signing_input=header_segment + b"." + payload_segment,
        payload_segment=payload_segment,
        signature=decode_segment(signature_segment, "signature"),
    )


def decode_segment(segment: bytes, name: str) -> bytes:
    """Canonical base64url without padding (RFC 7515 §2).

    Raises:
        TokenRefusedError: another spelling than the one that encoding gives.
    """
    try:
        decoded = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except (binascii.Error, ValueError):
        raise TokenRefusedError(f"the {name} is not base64url") from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment:
        raise TokenRefusedError(f"the {name} is not canonical base64url")
    return decoded


def json_object(text: bytes, name: str) -> Mapping[str, Any]:
    """A JSON object in which no member stands twice, every number is one and every text is Unicode.

    Raises:
        TokenRefusedError: anything else.
    """
    try:
        value = _DECODER.decode(text.decode())
        # Escapes can spell lone surrogates, which no database and no encoder takes.
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except TokenRefusedError as error:
        raise TokenRefusedError(f"the {name} {error}") from None
    except (ValueError, RecursionError):
        raise TokenRefusedError(f"the {name} is not JSON") from None
    if not isinstance(value, dict):
        raise TokenRefusedError(f"the {name} is not a JSON object")
    return value


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise TokenRefusedError("has a member twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise TokenRefusedError("has a number that is none")
    return number


# Made once: json.loads() with hooks makes one at each call, which costs as much as the reading.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_constant=_finite, parse_float=_finite
)


def _checked_header(header: Mapping[str, Any], types: frozenset[str]) -> str:
    if "crit" in header or "b64" in header:
        raise TokenRefusedError("the header asks for an extension that is not known (crit)")
    for name in _EMBEDDED_KEYS:
        if name in header:
            raise TokenRefusedError(f"the header brings its own key ({name})")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in types:
        taken = " nor ".join(sorted(types))
        raise TokenRefusedError(f"the token is of another type (typ is neither {taken})")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise TokenRefusedError("the header names no algorithm")
    return algorithm


def _key_id(header: Mapping[str, Any]) -> str | None:
    if "kid" not in header:
        return None
    key_id = header["kid"]
    if (
        not isinstance(key_id, str)
        or not 1 <= len(key_id) <= _MAX_KEY_ID_CHARS
        or not key_id.isprintable()
    ):
        raise TokenRefusedError(
            f"kid is not a text of 1 to {_MAX_KEY_ID_CHARS} printable characters"
        )
    return key_id
