"""What the environment adds to a program's settings: to those of the first issuer, and no other."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from licet.authn.issuer import IssuerSettings
from licet.errors import ConfigurationError
from licet.os.config import AuthorizationConfig
from licet.secret_variables import Secret, find_secret

KEY_VARIABLE = "JWT_VERIFICATION_KEY"
VARIABLES = {
    "jwks_file": "JWT_JWKS_FILE",
    "jwks_url": "JWT_JWKS_URL",
    "issuer": "JWT_ISSUER",
    "audience": "JWT_AUDIENCE",
}
"""The settings that the environment stands in for."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something for the log."""

    text: str
    level: int = logging.INFO


def with_environment(
    config: AuthorizationConfig, environ: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """The settings of the first issuer, completed.

    Raises:
        ConfigurationError: the program's keys are no list, or the file of a key cannot be read.
    """
    settings = {f.name: getattr(config, f.name) for f in fields(IssuerSettings)}
    # A text is a sequence of its letters: each of them would be taken for a key.
    if isinstance(config.verification_keys, str | bytes):
        raise ConfigurationError("verification_keys is a list, not one text")
    added = _added_key(config, environ)
    settings["verification_keys"] = [*config.verification_keys, *([added.value] if added else [])]
    taken = {name: value for name, value in _said(environ) if _is_left_out(config, name)}
    return {**settings, **taken}


def notes_on_environment(
    config: AuthorizationConfig, environ: Mapping[str, str] = os.environ
) -> Sequence[Note]:
    """What is to be known of it: each variable that is used, and each that is overruled."""
    notes: list[Note] = []
    if added := _added_key(config, environ):
        notes.append(Note(f"the verification key in {added.variable} is trusted too"))
    for name, value in _said(environ):
        variable = VARIABLES[name]
        if _is_left_out(config, name):
            notes.append(Note(f"the first issuer's {name} is taken from {variable}"))
        elif str(getattr(config, name)) != value:
            text = f"{variable} is not looked at: {name} is set in the program"
            notes.append(Note(text, logging.WARNING))
    return notes


def check_nothing_is_lost(
    config: AuthorizationConfig, environ: Mapping[str, str] = os.environ
) -> None:
    """Refuse settings of a first issuer that has no keys: they would hold for nobody.

    Raises:
        ConfigurationError: names one, and where it stands.
    """
    usual = AuthorizationConfig()
    for setting in fields(IssuerSettings):
        given, left_out = getattr(config, setting.name), getattr(usual, setting.name)
        if given != left_out and (given or left_out):
            raise ConfigurationError(
                f"{setting.name} is set for an issuer without keys: give it keys, or set "
                f"{setting.name} on each TrustedIssuer in issuers="
            )
    for name, _ in _said(environ):
        raise ConfigurationError(
            f"{VARIABLES[name]} is set in the environment, and would hold for nobody: it stands "
            f"for the {name} of a first issuer, which has no keys. Unset it; each TrustedIssuer in "
            f"issuers= says its own {name}"
        )


def _said(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The settings that the environment names, and what it says of them."""
    for name, variable in VARIABLES.items():
        value = environ.get(variable, "").strip()
        if value:
            yield name, value


def _is_left_out(config: AuthorizationConfig, name: str) -> bool:
    # Discovery says where the key set is.
    return getattr(config, name) is None and not (name == "jwks_url" and bool(config.discovery))


def _added_key(config: AuthorizationConfig, environ: Mapping[str, str]) -> Secret | None:
    added = find_secret(KEY_VARIABLE, environ)
    known = [str(key).strip() for key in config.verification_keys]
    return None if added is None or added.value in known else added
