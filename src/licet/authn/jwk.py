"""JSON Web Keys and their sets (RFC 7517), read strictly: what a key says of itself is kept to.

A key that cannot be used is skipped, with the reason, as RFC 7517 §5 has it: a set may hold keys
for others. A set of which no key is usable holds none, which is for its reader to complain of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from licet.authn.jws import decode_segment, json_object
from licet.authn.key_set import KeySet
from licet.authn.keys import ALGORITHMS, VerificationKey, public_key, secret_key
from licet.authn.refusal import TokenRefusedError
from licet.errors import ConfigurationError, LicetError

MAX_KEY_SET_BYTES = 1024 * 1024
MAX_KEYS = 100
_MAX_KEY_ID_CHARS = 255
_SHOWN_REASONS = 5
_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth")
_EC_CURVES = {"P-256": 32, "P-384": 48, "P-521": 66}
_OKP_CURVES = {"Ed25519": 32, "Ed448": 57}


class KeySetError(LicetError):
    """It is not a key set; the message says why."""

    code = "key_set"


class UnusableKeyError(LicetError):
    """A key that is not taken. The message holds nothing of the key."""

    code = "unusable_key"


@dataclass(frozen=True, slots=True)
class ParsedKeySet:
    """The usable keys of a set, and why the others are not."""

    key_set: KeySet
    skipped: tuple[str, ...] = ()

    @property
    def complaint(self) -> str | None:
        """What is wrong where there are keys and none of them is usable; else None."""
        if self.key_set.keys or not self.skipped:
            return None
        more = len(self.skipped) - _SHOWN_REASONS
        reasons = [*self.skipped[:_SHOWN_REASONS], *([f"and {more} more"] if more > 0 else [])]
        return f"no key that can be used: {'; '.join(reasons)}"


def parse_key_set(
    text: bytes, *, allowed: Iterable[str], secrets: bool, source: str
) -> ParsedKeySet:
    """The keys of a JSON Web Key Set (RFC 7517 §5).

    Args:
        text: the document.
        allowed: the algorithms that the issuer's tokens may use.
        secrets: whether shared secrets (``oct``) are taken; what is published is none.
        source: names the set in messages.

    A set without any usable key is one, too: whoever publishes it has taken the others back.

    Raises:
        KeySetError: it is not a key set.
    """
    wanted = frozenset(allowed)
    if len(text) > MAX_KEY_SET_BYTES:
        raise KeySetError(f"{source} is larger than {MAX_KEY_SET_BYTES} bytes")
    try:
        members = json_object(text, "document").get("keys")
    except TokenRefusedError as error:
        raise KeySetError(f"{source}: {error}") from None
    if not isinstance(members, list):
        raise KeySetError(f'{source} is no key set: it is not of the form {{"keys": [...]}}')
    if len(members) > MAX_KEYS:
        raise KeySetError(f"{source} has {len(members)} keys; at most {MAX_KEYS} are taken")
    keys: list[VerificationKey] = []
    skipped: list[str] = []
    for number, member in enumerate(members):
        try:
            keys.append(_usable(member, wanted, secrets=secrets))
        except UnusableKeyError as error:
            skipped.append(f"keys[{number}]: {error}")
    # In an order of our own: the same keys in another order are the same set.
    ordered = sorted(set(keys), key=lambda key: (key.key_id, key.identity, sorted(key.algorithms)))
    return ParsedKeySet(KeySet(tuple(ordered)), tuple(skipped))


def parse_key(jwk: object, *, secrets: bool) -> VerificationKey:
    """A key from a JSON Web Key, with the algorithms that its type and its ``alg`` leave.

    Raises:
        UnusableKeyError: it is not for verifying signatures, or not well-formed.
    """
    if not isinstance(jwk, Mapping):
        raise UnusableKeyError("not an object")
    _check_use(jwk)
    readers = {"RSA": _rsa, "EC": _ec, "OKP": _okp, "oct": _oct}
    kind = jwk.get("kty")
    if not isinstance(kind, str) or kind not in readers:
        raise UnusableKeyError(f"of an unknown type; known are {', '.join(readers)}")
    if kind == "oct" and not secrets:
        raise UnusableKeyError("a shared secret, which is none once it is published")
    if any(name in jwk for name in _PRIVATE_MEMBERS):
        raise UnusableKeyError(
            "a private key: whoever reads the set can sign tokens; make a new key pair"
        )
    try:
        key = readers[kind](jwk)
    except ConfigurationError as error:
        raise UnusableKeyError(str(error)) from None
    return _named(_for_algorithm(key, jwk), jwk)


def _usable(jwk: object, allowed: frozenset[str], *, secrets: bool) -> VerificationKey:
    key = parse_key(jwk, secrets=secrets)
    algorithms = key.algorithms & allowed
    if not algorithms:
        raise UnusableKeyError(
            f"it serves {', '.join(sorted(key.algorithms))}, but the algorithms allowed are "
            f"{', '.join(sorted(allowed))}: set algorithm= or algorithms= to what the issuer uses"
        )
    return replace(key, algorithms=algorithms)


def _check_use(jwk: Mapping[str, Any]) -> None:
    """RFC 7517 §4.2 and §4.3: a key that is for something else verifies nothing."""
    if "use" in jwk and jwk["use"] != "sig":
        raise UnusableKeyError("not for signatures (use)")
    operations = jwk.get("key_ops", ["verify"])
    if (
        not isinstance(operations, list)
        or not all(isinstance(operation, str) for operation in operations)
        or len(set(operations)) != len(operations)
        or "verify" not in operations
    ):
        raise UnusableKeyError("not for verifying (key_ops)")


def _for_algorithm(key: VerificationKey, jwk: Mapping[str, Any]) -> VerificationKey:
    """RFC 7517 §4.4: a key that names an algorithm is for that one alone."""
    if "alg" not in jwk:
        return key
    algorithm = jwk["alg"]
    if not isinstance(algorithm, str) or algorithm not in key.algorithms:
        known = isinstance(algorithm, str) and algorithm in ALGORITHMS
        named = f"{algorithm!r}" if known else "it"
        raise UnusableKeyError(f"its type cannot serve the algorithm that it names ({named})")
    return replace(key, algorithms=frozenset((algorithm,)))


def _named(key: VerificationKey, jwk: Mapping[str, Any]) -> VerificationKey:
    if "kid" not in jwk:
        return key
    key_id = jwk["kid"]
    if (
        not isinstance(key_id, str)
        or not 1 <= len(key_id) <= _MAX_KEY_ID_CHARS
        or not key_id.isprintable()
    ):
        raise UnusableKeyError(
            f"its kid is not a text of 1 to {_MAX_KEY_ID_CHARS} printable characters"
        )
    return replace(key, key_id=key_id, named=True)


def _rsa(jwk: Mapping[str, Any]) -> VerificationKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    modulus, exponent = (int.from_bytes(_octets(jwk, name)) for name in ("n", "e"))
    # Leading zeros, which RFC 7518 §2 has not, are taken: some write them, and the number is one.
    try:
        return public_key(RSAPublicNumbers(exponent, modulus).public_key())
    except ValueError:
        raise UnusableKeyError("no RSA key has these numbers") from None


def _ec(jwk: Mapping[str, Any]) -> VerificationKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    size = _curve(jwk, _EC_CURVES)
    curves: dict[str, ec.EllipticCurve] = {
        "P-256": ec.SECP256R1(),
        "P-384": ec.SECP384R1(),
        "P-521": ec.SECP521R1(),
    }
    x, y = (int.from_bytes(_octets(jwk, name, size=size)) for name in ("x", "y"))
    try:
        return public_key(ec.EllipticCurvePublicNumbers(x, y, curves[jwk["crv"]]).public_key())
    except ValueError:
        raise UnusableKeyError("its point is not on the curve") from None


def _okp(jwk: Mapping[str, Any]) -> VerificationKey:
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    point = _octets(jwk, "x", size=_curve(jwk, _OKP_CURVES))
    kind = Ed25519PublicKey if jwk["crv"] == "Ed25519" else Ed448PublicKey
    return public_key(kind.from_public_bytes(point))


def _oct(jwk: Mapping[str, Any]) -> VerificationKey:
    return secret_key(_octets(jwk, "k"))


def _curve(jwk: Mapping[str, Any], sizes: Mapping[str, int]) -> int:
    curve = jwk.get("crv")
    if not isinstance(curve, str) or curve not in sizes:
        raise UnusableKeyError(f"on an unknown curve; known are {', '.join(sizes)}")
    return sizes[curve]


def _octets(jwk: Mapping[str, Any], name: str, *, size: int | None = None) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str) or not value.isascii():
        raise UnusableKeyError(f"its member {name!r} is not base64url")
    try:
        octets = decode_segment(value.encode(), f"member {name!r}")
    except TokenRefusedError as error:
        raise UnusableKeyError(str(error)) from None
    if not octets or (size is not None and len(octets) != size):
        raise UnusableKeyError(f"its member {name!r} has not the length that its type asks for")
    return octets
