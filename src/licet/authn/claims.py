"""Claims of a verified token: checked, and turned into a principal (RFC 7519 §4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from licet.authn.issuer import TrustedIssuer
from licet.authn.principal import Principal
from licet.authn.refusal import TokenExpiredError, TokenRefusedError

MAX_IDENTIFIER_CHARS = 255
# An index of a database takes an owner and a session id of that size, and not much more.
MAX_IDENTIFIER_BYTES = 700
MAX_ACTORS = 8
MAX_DEPTH = 32
_LAST_DATE = 253_402_300_799  # 9999-12-31T23:59:59Z
_ABSENT = object()


def principal_of(
    claims: Mapping[str, Any],
    *,
    issuer: TrustedIssuer,
    token_digest: str,
    key_id: str | None,
    now: float,
) -> Principal:
    """The principal that these claims speak for. ``now`` is epoch seconds.

    Raises:
        TokenRefusedError: a claim is missing, has the wrong form, or says that it is not the time,
            not the issuer, not the audience.
    """
    expires_at, issued_at = _check_times(claims, issuer, now)
    _check_issuer(claims, issuer)
    _check_audience(claims, issuer)
    if "cnf" in claims:
        raise TokenRefusedError("the token is bound to a key (cnf), which is not taken")
    for name in issuer.required_claims:
        if _at(claims, name) is None:
            raise TokenRefusedError(f"the claim {name!r} is missing")
    session_id = None
    if _at(claims, issuer.session_id_claim) is not None:
        session_id = _identifier(claims, issuer.session_id_claim)
    token_id = claims.get("jti")
    return Principal(
        issuer_alias=issuer.alias,
        issuer=claims.get("iss"),
        subject=_identifier(claims, issuer.subject_claim),
        scopes=scopes_in(claims, issuer.scopes_claims),
        token_id=str(token_id) if _is_identifier(token_id) else token_digest,
        key_id=key_id,
        issued_at=issued_at,
        expires_at=expires_at,
        session_id=session_id,
        claims=_frozen(claims),
        actors=_actors(claims),
    )


def _check_times(
    claims: Mapping[str, Any], issuer: TrustedIssuer, now: float
) -> tuple[float, float | None]:
    leeway = issuer.leeway_seconds
    expires_at, not_before, issued_at = (_date(claims, name) for name in ("exp", "nbf", "iat"))
    if expires_at is None:
        raise TokenRefusedError("the claim 'exp' is missing")
    # RFC 7519 §4.1.4: on or after exp the token is not taken.
    if now >= expires_at + leeway:
        raise TokenExpiredError("the token has expired")
    if not_before is not None and now < not_before - leeway:
        raise TokenRefusedError("the token is not valid yet (nbf)")
    if issued_at is not None and now < issued_at - leeway:
        raise TokenRefusedError("the token was issued in the future (iat)")
    return expires_at, issued_at


def _date(claims: Mapping[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    # A bool is an int in Python, and no date.
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TokenRefusedError(f"the claim {name!r} is not a number of seconds")
    if not -_LAST_DATE <= value <= _LAST_DATE:
        raise TokenRefusedError(
            f"the claim {name!r} is not a date before the year 10000; are these milliseconds?"
        )
    return float(value)


def _check_issuer(claims: Mapping[str, Any], issuer: TrustedIssuer) -> None:
    named = claims.get("iss")
    if named is not None and not isinstance(named, str):
        raise TokenRefusedError("the claim 'iss' is not a text")
    if issuer.issuer is not None and named != issuer.issuer:
        raise TokenRefusedError("the token is from another issuer (iss)")


def _check_audience(claims: Mapping[str, Any], issuer: TrustedIssuer) -> None:
    if "aud" not in claims:
        if issuer.verify_audience:
            raise TokenRefusedError("the token names no audience (aud)")
        return
    named = claims["aud"]
    audiences = [named] if isinstance(named, str) else named
    if not isinstance(audiences, list) or not all(isinstance(a, str) for a in audiences):
        raise TokenRefusedError("the claim 'aud' is neither a text nor a list of texts")
    if not set(audiences) & set(issuer.audiences):
        raise TokenRefusedError("the token is for another audience (aud)")


def _identifier(claims: Mapping[str, Any], name: str) -> str:
    value = _at(claims, name)
    if value is None:
        raise TokenRefusedError(f"the claim {name!r} is missing")
    if not _is_identifier(value):
        raise TokenRefusedError(
            f"the claim {name!r} is not a text of 1 to {MAX_IDENTIFIER_CHARS} printable characters"
        )
    return str(value)


def _is_identifier(value: object) -> bool:
    return (
        isinstance(value, str)
        and 1 <= len(value) <= MAX_IDENTIFIER_CHARS
        and value.isprintable()
        and len(value.encode()) <= MAX_IDENTIFIER_BYTES
    )


def scopes_in(claims: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    """The scopes of the first of these claims that is present; dotted paths are names too.

    Never of several together: more claims must not mean more.

    Raises:
        TokenRefusedError: the claim is neither a list of texts nor a text.
    """
    for name in names:
        value = _at(claims, name, absent=_ABSENT)
        if value is _ABSENT:
            continue
        if isinstance(value, str):
            # RFC 6749 §3.3: spaces, and no other white space, stand between scopes.
            return tuple(scope for scope in value.split(" ") if scope)
        if isinstance(value, list) and all(isinstance(scope, str) for scope in value):
            return tuple(value)
        raise TokenRefusedError(f"the claim {name!r} is neither a list of texts nor a text")
    return ()


def _actors(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Who acts for the subject, the latest first (RFC 8693 §4.1)."""
    found: list[str] = []
    actor = claims.get("act")
    while actor is not None:
        name = actor.get("sub") if isinstance(actor, dict) else None
        if not _is_identifier(name) or len(found) == MAX_ACTORS:
            raise TokenRefusedError("the claim 'act' is not a chain of actors")
        found.append(str(name))
        actor = actor.get("act")
    return tuple(found)


def _at(claims: Mapping[str, Any], name: str, *, absent: Any = None) -> Any:
    """A claim by its name, or by a dotted path; a name that itself holds dots comes first."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return absent
        value = value[part]
    return value


def _frozen(value: Any, depth: int = 0) -> Any:
    """A copy in which nothing can be changed: a cached principal serves many requests."""
    if depth > MAX_DEPTH:
        raise TokenRefusedError(f"the claims are nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return MappingProxyType({name: _frozen(v, depth + 1) for name, v in value.items()})
    if isinstance(value, list):
        return tuple(_frozen(item, depth + 1) for item in value)
    return value
