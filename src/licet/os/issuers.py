"""From settings and environment to the issuers that are trusted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from licet.authn.issuer import TrustedIssuer
from licet.authz.families import Families
from licet.authz.scope import UnusableScope, parse_scope
from licet.errors import ConfigurationError
from licet.os.config import AuthorizationConfig
from licet.os.environment import KEY_VARIABLE, check_nothing_is_lost, with_environment
from licet.secret_variables import FILE_SUFFIX


def trusted_issuers(
    config: AuthorizationConfig, *, os_id: str, environ: Mapping[str, str] = os.environ
) -> tuple[TrustedIssuer, ...]:
    """The issuers of a configuration, the first one's settings completed from the environment.

    Raises:
        ConfigurationError: there is no key, its file cannot be read, a setting would hold for
            nobody, or two issuers could be taken for each other.
    """
    first = with_environment(config, environ)
    has_keys = any((first["verification_keys"], first["jwks_file"], first["jwks_url"]))
    found = list(config.issuers)
    if has_keys or first["discovery"]:
        found.insert(0, TrustedIssuer(**first))
    elif found:
        check_nothing_is_lost(config, environ)
    if not found:
        raise ConfigurationError(
            "authorization=True needs a key: set AuthorizationConfig(verification_keys=[...]), "
            "jwks_file, jwks_url, or issuer with discovery=True; or the environment variable "
            f"{KEY_VARIABLE} or {KEY_VARIABLE}{FILE_SUFFIX}"
        )
    complete = tuple(i if i.audience is not None else replace(i, audience=os_id) for i in found)
    _check_apart(complete)
    return complete


def check_roles(issuers: Sequence[TrustedIssuer], *, admin_scope: str, families: Families) -> None:
    """Refuse roles that stand for scopes which can never grant anything.

    Raises:
        ConfigurationError: names the role, the scope and why.
    """
    for issuer in issuers:
        for role, scopes in issuer.roles.items():
            for scope in scopes:
                parsed = parse_scope(scope, admin_scope=admin_scope, families=families)
                if isinstance(parsed, UnusableScope):
                    raise ConfigurationError(
                        f"roles[{role!r}]: the scope {scope!r} grants nothing: {parsed.reason}"
                    )


def _check_apart(issuers: Sequence[TrustedIssuer]) -> None:
    aliases = [issuer.alias for issuer in issuers]
    for alias in aliases:
        if aliases.count(alias) > 1:
            raise ConfigurationError(
                f"two issuers have the alias {alias!r}: their users would be one; "
                "give each TrustedIssuer an alias of its own"
            )
    if len(issuers) == 1:
        return
    names = [issuer.issuer for issuer in issuers]
    for issuer in issuers:
        if issuer.issuer is None:
            raise ConfigurationError(
                f"several issuers are trusted, and the one with the alias {issuer.alias!r} does "
                "not say which it is: set its issuer= to what its tokens have as 'iss'"
            )
        if names.count(issuer.issuer) > 1:
            raise ConfigurationError(f"two issuers are {issuer.issuer!r}")
