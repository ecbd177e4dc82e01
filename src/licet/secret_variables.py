"""Secrets of the environment: in a variable, or in the file that another variable names.

Container engines hand secrets over as files. Whatever stands in a variable itself is inherited by
every program that the process starts, and is shown to whoever may inspect the container.
"""

from __future__ import annotations

import os
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from licet.errors import ConfigurationError
from licet.small_files import read_small

FILE_SUFFIX = "_FILE"
"""``DATABASE_URL_FILE`` names the file that holds what ``DATABASE_URL`` would."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, without white space around it, and the variable that it came by.

    Bytes that are no UTF-8 stand in ``value`` as they do in ``os.environ`` (``surrogateescape``).
    """

    value: str = field(repr=False)
    variable: str

    def encode(self) -> bytes:
        """The secret as it was given."""
        return self.value.encode("utf-8", "surrogateescape")


def find_secret(name: str, environ: Mapping[str, str] = os.environ) -> Secret | None:
    """The secret in the variable ``name``, or in the file that ``name`` + ``_FILE`` names.

    None where neither is set; a variable that is empty is not set.

    Raises:
        ConfigurationError: both are set, or the file cannot be read or is empty. The message names
            the variable and the file, never what they hold.
    """
    file_variable = f"{name}{FILE_SUFFIX}"
    value = environ.get(name, "").strip(string.whitespace)
    file = environ.get(file_variable, "").strip()
    if not file:
        return Secret(value, name) if value else None
    if value:
        raise ConfigurationError(
            f"{name} and {file_variable} are both set, and only one can count: unset one"
        )
    try:
        content = read_small(Path(file))
    except ConfigurationError as error:
        raise ConfigurationError(f"{file_variable}: {error}") from None
    # Stripped as bytes: of a secret that is no text, nothing is lost that only text calls space.
    content = content.strip()
    if not content:
        raise ConfigurationError(f"{file_variable}: {file!r} is empty")
    return Secret(content.decode("utf-8", "surrogateescape"), file_variable)


def required_secret(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """The secret of that name, for a program that does not start without it.

    Raises:
        ConfigurationError: there is none, or as for ``find_secret``.
    """
    secret = find_secret(name, environ)
    if secret is None:
        raise ConfigurationError(
            f"{name} is not set: set it, or {name}{FILE_SUFFIX} to the name of the file that holds "
            "it"
        )
    return secret.value
