"""TrustedIssuer: whose tokens are taken, and by which rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from licet.authn.keys import ALGORITHMS, VerificationKey, load_key
from licet.errors import ConfigurationError

DEFAULT_ALIAS = "default"
DEFAULT_LEEWAY_SECONDS = 10.0
DEFAULT_SCOPES_CLAIMS = ("scopes", "scope", "scp")
_MAX_LEEWAY_SECONDS = 300.0
_ALIAS = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SEVERAL = ("verification_keys", "algorithms", "audiences", "required_claims", "scopes_claims")


@dataclass(frozen=True, kw_only=True)
class TrustedIssuer:
    """An auth server whose tokens are taken.

    Args:
        verification_keys: PEM public keys, certificates, or secrets.
        algorithms: what tokens may use; each key serves those of them that fit its type.
        alias: part of the owner of rows; stays when keys and addresses change.
        issuer: what ``iss`` has to be; None: not looked at.
        audiences: what ``aud`` may name.
        verify_audience: refuse tokens without ``aud``.
        leeway_seconds: how far clocks may differ. A token is taken while now < exp + leeway, and
            from nbf - leeway and iat - leeway on, these instants included.
        required_claims: present besides ``exp`` and the subject.
        subject_claim: whose value is the subject.
        session_id_claim: whose value is the session of requests that name none.
        scopes_claims: the first of these that is present holds the scopes; dotted paths too.

    Raises:
        ConfigurationError: a rule cannot hold; the message says which and why.
    """

    verification_keys: Sequence[str | bytes] = field(repr=False)
    algorithms: Sequence[str] = ("RS256",)
    alias: str = DEFAULT_ALIAS
    issuer: str | None = None
    audiences: Sequence[str] = ()
    verify_audience: bool = False
    leeway_seconds: float = DEFAULT_LEEWAY_SECONDS
    required_claims: Sequence[str] = ()
    subject_claim: str = "sub"
    session_id_claim: str = "session_id"
    scopes_claims: Sequence[str] = DEFAULT_SCOPES_CLAIMS

    keys: tuple[VerificationKey, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Lists become tuples: nobody changes the rules afterwards.
        for name in _SEVERAL:
            object.__setattr__(self, name, _several(name, getattr(self, name)))
        _check(self)
        keys = tuple(
            load_key(key, allowed=self.algorithms, source=f"verification_keys[{number}]")
            for number, key in enumerate(self.verification_keys)
        )
        object.__setattr__(self, "keys", keys)


def _several(name: str, value: Sequence[Any]) -> tuple[Any, ...]:
    # A text is a sequence of its letters, and each of them would be taken for an audience.
    if isinstance(value, str | bytes):
        raise ConfigurationError(f"{name} is a list, not one text")
    return tuple(value)


def _check(issuer: TrustedIssuer) -> None:
    if not issuer.verification_keys:
        raise ConfigurationError("a trusted issuer needs at least one verification key")
    if not issuer.algorithms:
        raise ConfigurationError("a trusted issuer needs at least one algorithm")
    for algorithm in issuer.algorithms:
        if algorithm not in ALGORITHMS:
            known = ", ".join(sorted(ALGORITHMS))
            raise ConfigurationError(f"algorithm {algorithm!r} is not taken; these are: {known}")
    if not _ALIAS.fullmatch(issuer.alias):
        raise ConfigurationError(f"issuer alias {issuer.alias!r}: letters, digits, '.', '_', '-'")
    # Written so that NaN, which is on neither side, is refused too.
    if not 0 <= issuer.leeway_seconds <= _MAX_LEEWAY_SECONDS:
        raise ConfigurationError(f"leeway_seconds is between 0 and {_MAX_LEEWAY_SECONDS:g}")
    if issuer.verify_audience and not issuer.audiences:
        raise ConfigurationError("verify_audience needs an audience")
    _check_names(issuer)


def _check_names(issuer: TrustedIssuer) -> None:
    if not all(issuer.audiences):
        raise ConfigurationError("an audience is empty; name what 'aud' may be")
    if issuer.issuer == "":
        raise ConfigurationError("issuer is empty; leave it out, or name what 'iss' has to be")
    if not issuer.scopes_claims:
        raise ConfigurationError("scopes_claims is empty; name where the scopes stand")
    names = (issuer.subject_claim, issuer.session_id_claim)
    if not all((*names, *issuer.required_claims, *issuer.scopes_claims)):
        raise ConfigurationError("the name of a claim is empty")
