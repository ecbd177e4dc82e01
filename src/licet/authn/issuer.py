"""TrustedIssuer: whose tokens are taken, and by which rules."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from licet.authn.key_fetching import KeyFetching
from licet.authn.key_set import KeySet
from licet.authn.keys import ALGORITHMS, HMAC_ALGORITHMS, load_key
from licet.errors import ConfigurationError

DEFAULT_ALIAS = "default"
DEFAULT_LEEWAY_SECONDS = 10.0
DEFAULT_SCOPES_CLAIMS = ("scopes", "scope", "scp")
_MAX_LEEWAY_SECONDS = 300.0
_ALIAS = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NOT_EMPTY = (
    *("issuer", "jwks_file", "jwks_url", "discovery"),
    *("oidc_client_id", "scopes_claim", "roles_claim"),
)
_LISTS = ("verification_keys", "required_claims", "dependencies_claims", "session_state_claims")


@dataclass(frozen=True, kw_only=True)
class IssuerSettings:
    """What can be said of an issuer; ``AuthorizationConfig`` takes the same names for the first.

    Args:
        verification_keys: PEM public keys, certificates, or secrets for HS algorithms.
        jwks_file: a file with a JSON Web Key Set; read again when it changes.
        jwks_url: where the issuer publishes its key set.
        issuer: what ``iss`` has to be; None: not looked at.
        discovery: find the key set through OpenID Connect Discovery: True asks ``issuer`` itself,
            a text is the address of the document.
        algorithm: the one algorithm that tokens may use.
        algorithms: several of them; takes the place of ``algorithm``. Each key serves those that
            fit its type, and what its ``alg`` says.
        audience: what ``aud`` may name, one or several; the server's id when absent.
        verify_audience: refuse tokens without an audience. One that is present is always checked.
        leeway_seconds: how far clocks may differ. A token is taken while now < exp + leeway, and
            from nbf - leeway and iat - leeway on, these instants included.
        required_claims: present besides ``exp`` and the subject.
        max_token_lifetime_seconds: refuse tokens that live longer (exp - iat), and those that do
            not say when they were issued. Revocations need to be kept no longer than this.
        user_id_claim: whose value is the subject.
        session_id_claim: whose value is the session of requests that name none.
        scopes_claim: where scopes are, a dotted path too; None: the first present of ``scopes``,
            ``scope`` and ``scp``.
        audience_claim: where the audience is.
        roles_claim: where roles are, a list or one text, a dotted path too; ``roles`` when only
            ``roles`` is given.
        roles: the scopes that each role stands for, beside those that the token names itself.
        dependencies_claims: claims that reach tools as dependencies of the run.
        session_state_claims: claims that are put into the session's state at each run.
        oidc_client_id: who we are at the issuer: what logout tokens have to name as audience.
        key_fetching: how often and how long keys are asked for.
    """

    verification_keys: Sequence[str | bytes] = field(default=(), repr=False)
    jwks_file: str | os.PathLike[str] | None = None
    jwks_url: str | None = None
    issuer: str | None = None
    discovery: bool | str = False
    algorithm: str = "RS256"
    algorithms: Sequence[str] | None = None
    audience: str | Sequence[str] | None = None
    verify_audience: bool = False
    leeway_seconds: float = DEFAULT_LEEWAY_SECONDS
    required_claims: Sequence[str] = ()
    max_token_lifetime_seconds: float | None = None
    user_id_claim: str = "sub"
    session_id_claim: str = "session_id"
    scopes_claim: str | None = None
    audience_claim: str = "aud"
    roles_claim: str | None = None
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dependencies_claims: Sequence[str] = ()
    session_state_claims: Sequence[str] = ()
    oidc_client_id: str | None = None
    key_fetching: KeyFetching = field(default_factory=KeyFetching)


@dataclass(frozen=True, kw_only=True)
class TrustedIssuer(IssuerSettings):
    """An auth server whose tokens are taken: settings that were checked.

    Args:
        alias: part of the owner of rows; stays when keys and addresses change.

    Attributes:
        audiences, allowed_algorithms, scopes_claims: the settings, each as a tuple.
        keys: the verification keys, loaded.

    Raises:
        ConfigurationError: a rule cannot hold; the message says which and why.
    """

    alias: str = DEFAULT_ALIAS

    audiences: tuple[str, ...] = field(init=False, repr=False)
    allowed_algorithms: tuple[str, ...] = field(init=False, repr=False)
    scopes_claims: tuple[str, ...] = field(init=False, repr=False)
    keys: KeySet = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Lists become tuples: nobody changes the rules afterwards.
        for name in _LISTS:
            object.__setattr__(self, name, _several(name, getattr(self, name)))
        for name, value in _prepared(self).items():
            object.__setattr__(self, name, value)
        _check(self)
        keys = tuple(
            load_key(key, allowed=self.allowed_algorithms, source=f"verification_keys[{number}]")
            for number, key in enumerate(self.verification_keys)
        )
        object.__setattr__(self, "keys", KeySet(keys))


def _several(name: str, value: Sequence[Any]) -> tuple[Any, ...]:
    # A text is a sequence of its letters, and each of them would be taken for an audience.
    if isinstance(value, str | bytes):
        raise ConfigurationError(f"{name} is a list, not one text")
    return tuple(value)


def _prepared(issuer: TrustedIssuer) -> dict[str, Any]:
    audience, algorithms = issuer.audience, issuer.algorithms
    return {
        "audiences": (
            (audience,) if isinstance(audience, str) else _several("audience", audience or ())
        ),
        "allowed_algorithms": (
            (issuer.algorithm,) if algorithms is None else _several("algorithms", algorithms)
        ),
        "scopes_claims": (
            DEFAULT_SCOPES_CLAIMS if issuer.scopes_claim is None else (issuer.scopes_claim,)
        ),
        "roles_claim": (
            "roles" if issuer.roles_claim is None and issuer.roles else issuer.roles_claim
        ),
        "roles": MappingProxyType(
            {role: _several(f"roles[{role!r}]", scopes) for role, scopes in issuer.roles.items()}
        ),
    }


def _check(issuer: TrustedIssuer) -> None:
    if not issuer.allowed_algorithms:
        raise ConfigurationError("a trusted issuer needs at least one algorithm")
    _check_sources(issuer)
    for algorithm in issuer.allowed_algorithms:
        if algorithm not in ALGORITHMS:
            known = ", ".join(sorted(ALGORITHMS))
            raise ConfigurationError(f"algorithm {algorithm!r} is not taken; these are: {known}")
    if not _ALIAS.fullmatch(issuer.alias):
        raise ConfigurationError(f"issuer alias {issuer.alias!r}: letters, digits, '.', '_', '-'")
    # Written so that NaN, which is on neither side, is refused too.
    if not 0 <= issuer.leeway_seconds <= _MAX_LEEWAY_SECONDS:
        raise ConfigurationError(f"leeway_seconds is between 0 and {_MAX_LEEWAY_SECONDS:g}")
    lifetime = issuer.max_token_lifetime_seconds
    if lifetime is not None and not 0 < lifetime < math.inf:
        raise ConfigurationError("max_token_lifetime_seconds is a number of seconds above 0")
    # None: the server that the issuer is given to fills in its own id.
    if issuer.verify_audience and issuer.audience is not None and not issuer.audiences:
        raise ConfigurationError("verify_audience needs an audience")
    if issuer.roles_claim is not None and not issuer.roles:
        raise ConfigurationError(
            f"roles_claim={issuer.roles_claim!r} needs roles={{...}}: the scopes of each role"
        )
    _check_names(issuer)


def _check_sources(issuer: TrustedIssuer) -> None:
    if issuer.discovery and issuer.issuer is None:
        raise ConfigurationError(
            "discovery needs issuer=: the document has to name the issuer that tokens name"
        )
    if issuer.oidc_client_id is not None and issuer.issuer is None:
        raise ConfigurationError(
            "oidc_client_id needs issuer=: logout tokens are told apart by the issuer they name"
        )
    if issuer.discovery and issuer.jwks_url is not None:
        raise ConfigurationError("give jwks_url or discovery, not both: discovery finds the keys")
    published = issuer.discovery or issuer.jwks_url is not None
    if published and HMAC_ALGORITHMS.issuperset(issuer.allowed_algorithms):
        raise ConfigurationError(
            "a published key set holds no secrets, and the algorithms allowed need one: "
            "set algorithm= or algorithms= to what the issuer signs with"
        )
    found = (issuer.verification_keys, issuer.jwks_file, issuer.jwks_url, issuer.discovery)
    if not any(found):
        raise ConfigurationError(
            "a trusted issuer needs keys: verification_keys, jwks_file, jwks_url or discovery"
        )


def _check_names(issuer: TrustedIssuer) -> None:
    if not all(issuer.audiences):
        raise ConfigurationError("an audience is empty; name what 'aud' may be")
    for name in _NOT_EMPTY:
        if getattr(issuer, name) == "":
            raise ConfigurationError(f"{name} is empty; leave it out, or say what it is")
    names = (
        *(issuer.user_id_claim, issuer.session_id_claim, issuer.audience_claim),
        *(*issuer.required_claims, *issuer.dependencies_claims, *issuer.session_state_claims),
    )
    if not all(names):
        raise ConfigurationError("the name of a claim is empty")
