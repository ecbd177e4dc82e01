"""Claims of a verified token: checked, and turned into a principal (RFC 7519 §4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from licet.authn.frozen import MAX_DEPTH, TooDeepError, frozen
from licet.authn.issuer import TrustedIssuer
from licet.authn.principal import SERVICE_PREFIX, Principal
from licet.authn.refusal import TokenExpiredError, TokenRefusedError

MAX_IDENTIFIER_CHARS = 255
# An index of a database takes an owner and a session id of that size, and not much more.
MAX_IDENTIFIER_BYTES = 700
MAX_ACTORS = 8
_LAST_DATE = 253_402_300_799  # 9999-12-31T23:59:59Z
_ABSENT = object()
_NONE: Mapping[str, Any] = MappingProxyType({})
# Claims that an ID token or a logout token has and an access token has not (OpenID Connect Core
# §3.1.3.6, §3.3.2.11; Back-Channel Logout 1.0 §2.4). What proves who logged in opens nothing.
_OTHER_TOKENS = ("nonce", "at_hash", "c_hash", "s_hash", "events")
# The same, as Keycloak ("typ") and Cognito ("token_use") say it.
_OTHER_KINDS = {
    "typ": frozenset(("id", "refresh", "offline", "logout")),
    "token_use": frozenset(("id",)),
}


def principal_of(
    claims: Mapping[str, Any],
    *,
    issuer: TrustedIssuer,
    token_digest: str,
    key_id: str,
    now: float,
) -> Principal:
    """The principal that these claims speak for. ``now`` is epoch seconds.

    ``key_id`` names the key that made the signature; ``token_digest`` stands for a missing ``jti``.

    Raises:
        TokenRefusedError: a claim is missing, has the wrong form, or says that it is not the time,
            not the issuer, not the audience.
    """
    expires_at, issued_at = check_times(claims, issuer, now)
    _check_issuer(claims, issuer)
    _check_audience(claims, issuer)
    _check_kind(claims)
    _check_lifetime(issuer, expires_at=expires_at, issued_at=issued_at)
    if "cnf" in claims:
        raise TokenRefusedError("the token is bound to a key (cnf), which is not taken")
    for name in issuer.required_claims:
        if _at(claims, name) is None:
            raise TokenRefusedError(f"the claim {name!r} is missing")
    subject = _identifier(claims, issuer.user_id_claim)
    if subject.startswith(SERVICE_PREFIX):
        raise TokenRefusedError("the subject has the form that service accounts have")
    try:
        unchangeable = frozen(dict(claims))
    except TooDeepError:
        raise TokenRefusedError(f"the claims are nested deeper than {MAX_DEPTH} levels") from None
    return Principal(
        issuer_alias=issuer.alias,
        issuer=claims.get("iss"),
        subject=subject,
        scopes=_scopes(claims, issuer),
        token_id=optional_identifier(claims, "jti") or token_digest,
        key_id=key_id,
        issued_at=issued_at,
        expires_at=expires_at,
        session_id=optional_identifier(claims, issuer.session_id_claim),
        sid=optional_identifier(claims, "sid"),
        claims=unchangeable,
        dependencies=_present(unchangeable, issuer.dependencies_claims),
        session_state=_present(unchangeable, issuer.session_state_claims),
        actors=_actors(claims),
    )


def check_times(
    claims: Mapping[str, Any], issuer: TrustedIssuer, now: float
) -> tuple[float, float | None]:
    """When the token expires, and when it was issued; epoch seconds.

    Raises:
        TokenRefusedError: it is not the time, or a date is none (RFC 7519 §4.1.4 to §4.1.6).
    """
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
    if value < 0:
        raise TokenRefusedError(f"the claim {name!r} is a date before 1970")
    if value > _LAST_DATE:
        raise TokenRefusedError(
            f"the claim {name!r} is not a date before the year 10000; are these milliseconds?"
        )
    return float(value)


def _check_lifetime(issuer: TrustedIssuer, *, expires_at: float, issued_at: float | None) -> None:
    longest = issuer.max_token_lifetime_seconds
    if longest is None:
        return
    if issued_at is None:
        raise TokenRefusedError("the claim 'iat' is missing: the token's lifetime cannot be told")
    if expires_at - issued_at > longest:
        raise TokenRefusedError(f"the token lives longer than {longest:g} seconds")


def _check_issuer(claims: Mapping[str, Any], issuer: TrustedIssuer) -> None:
    named = claims.get("iss")
    if named is not None and not isinstance(named, str):
        raise TokenRefusedError("the claim 'iss' is not a text")
    if issuer.issuer is not None and named != issuer.issuer:
        raise TokenRefusedError("the token is from another issuer (iss)")


def _check_audience(claims: Mapping[str, Any], issuer: TrustedIssuer) -> None:
    name = issuer.audience_claim
    audiences = audiences_in(claims, name)
    if audiences is None:
        if issuer.verify_audience:
            raise TokenRefusedError(f"the token names no audience ({name})")
        return
    if not audiences & set(issuer.audiences):
        raise TokenRefusedError(f"the token is for another audience ({name})")


def audiences_in(claims: Mapping[str, Any], name: str) -> frozenset[str] | None:
    """The audiences that a claim names; None: it is absent (RFC 7519 §4.1.3).

    Raises:
        TokenRefusedError: it is neither a text nor a list of texts.
    """
    named = _at(claims, name, absent=_ABSENT)
    if named is _ABSENT:
        return None
    audiences = [named] if isinstance(named, str) else named
    if not isinstance(audiences, list) or not all(isinstance(a, str) for a in audiences):
        raise TokenRefusedError(f"the claim {name!r} is neither a text nor a list of texts")
    return frozenset(audiences)


def _check_kind(claims: Mapping[str, Any]) -> None:
    for name in _OTHER_TOKENS:
        if name in claims:
            raise TokenRefusedError(f"the token is no access token (it has the claim {name!r})")
    for name, others in _OTHER_KINDS.items():
        kind = claims.get(name)
        if isinstance(kind, str) and kind.lower() in others:
            raise TokenRefusedError(f"the token is no access token (by its claim {name!r})")


def _scopes(claims: Mapping[str, Any], issuer: TrustedIssuer) -> tuple[str, ...]:
    """The scopes that the token names, and those that its roles stand for, each once."""
    named = scopes_in(claims, issuer.scopes_claims)
    if issuer.roles_claim is None:
        return named
    roles = _roles(claims, issuer.roles_claim)
    by_role = (scope for role in roles for scope in issuer.roles.get(role, ()))
    return tuple(dict.fromkeys((*named, *by_role)))


def _roles(claims: Mapping[str, Any], name: str) -> Sequence[str]:
    value = _at(claims, name, absent=())
    # A text is one role, also with spaces: "Former Admin" is no "Admin".
    return (value,) if isinstance(value, str) else _texts(value, name)


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise TokenRefusedError(f"the claim {name!r} is neither a list of texts nor a text")


def _identifier(claims: Mapping[str, Any], name: str) -> str:
    value = _at(claims, name)
    if value is None:
        raise TokenRefusedError(f"the claim {name!r} is missing")
    if not _is_identifier(value):
        raise TokenRefusedError(
            f"the claim {name!r} is not a text of 1 to {MAX_IDENTIFIER_CHARS} printable characters"
        )
    return str(value)


def optional_identifier(claims: Mapping[str, Any], name: str) -> str | None:
    """A claim that names something, if it is there.

    Raises:
        TokenRefusedError: it is not a text of printable characters, or too long.
    """
    return None if _at(claims, name) is None else _identifier(claims, name)


def _present(claims: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    if not names:
        return _NONE
    found = {name: _at(claims, name) for name in names}
    return MappingProxyType({name: value for name, value in found.items() if value is not None})


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
        return _texts(value, name)
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
