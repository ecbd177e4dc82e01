"""From settings and environment to the issuers that are trusted."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from licet.authn.issuer import IssuerSettings, TrustedIssuer
from licet.authz.families import Families
from licet.authz.scope import UnusableScope, parse_scope
from licet.errors import ConfigurationError
from licet.os.config import AuthorizationConfig

logger = logging.getLogger(__name__)

KEY_VARIABLE = "JWT_VERIFICATION_KEY"
VARIABLES = {
    "jwks_file": "JWT_JWKS_FILE",
    "jwks_url": "JWT_JWKS_URL",
    "issuer": "JWT_ISSUER",
    "audience": "JWT_AUDIENCE",
}
"""The settings that the environment stands in for."""


def trusted_issuers(
    config: AuthorizationConfig, *, os_id: str, environ: Mapping[str, str] = os.environ
) -> tuple[TrustedIssuer, ...]:
    """The issuers of a configuration, the first one's settings completed from the environment.

    Raises:
        ConfigurationError: there is no key, or two issuers could be taken for each other.
    """
    first = _with_environment(config, environ)
    has_keys = any((first["verification_keys"], first["jwks_file"], first["jwks_url"]))
    found = list(config.issuers)
    if has_keys or first["discovery"]:
        found.insert(0, TrustedIssuer(**first))
    elif found:
        _check_nothing_is_lost(config)
    if not found:
        raise ConfigurationError(
            "authorization=True needs a key: set AuthorizationConfig(verification_keys=[...]), "
            "jwks_file, jwks_url, or issuer with discovery=True; or the environment variable "
            f"{KEY_VARIABLE}"
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


def _with_environment(config: AuthorizationConfig, environ: Mapping[str, str]) -> dict[str, Any]:
    settings = {f.name: getattr(config, f.name) for f in fields(IssuerSettings)}
    # A text is a sequence of its letters: each of them would be taken for a key.
    if isinstance(config.verification_keys, str | bytes):
        raise ConfigurationError("verification_keys is a list, not one text")
    keys = list(config.verification_keys)
    added = environ.get(KEY_VARIABLE, "").strip()
    if added and added not in [str(key).strip() for key in keys]:
        logger.info("the verification key in %s is trusted too", KEY_VARIABLE)
        keys.append(added)
    settings["verification_keys"] = keys
    for name, variable in VARIABLES.items():
        value = environ.get(variable, "").strip()
        if not value:
            continue
        if settings[name] is None and not (name == "jwks_url" and config.discovery):
            logger.info("%s is taken from %s", name, variable)
            settings[name] = value
        elif str(settings[name]) != value:
            logger.warning("%s is not looked at: %s is set in the program", variable, name)
    return settings


def _check_nothing_is_lost(config: AuthorizationConfig) -> None:
    """Refuse settings of a first issuer that has no keys: they would hold for nobody."""
    usual = AuthorizationConfig()
    for setting in fields(IssuerSettings):
        given, left_out = getattr(config, setting.name), getattr(usual, setting.name)
        if given != left_out and (given or left_out):
            raise ConfigurationError(
                f"{setting.name} is set for an issuer without keys: give it keys, or set "
                f"{setting.name} on each TrustedIssuer in issuers="
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
