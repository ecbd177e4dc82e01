"""Signing: the key that a command was given, the claims, and the token that comes of both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from licet.cli.algorithms import (
    algorithms_of,
    chosen,
    load_private_key,
    public_half,
    secret_with_algorithms,
)
from licet.errors import ConfigurationError, InvalidInputError
from licet.secret_variables import FILE_SUFFIX, find_secret
from licet.small_files import read_small

if TYPE_CHECKING:
    from jwt.algorithms import AllowedPrivateKeys

KEY_VARIABLE = "JWT_SIGNING_KEY"
_SHOWN_CHARS = 40
_OPTIONS = {
    "sub": "--sub",
    "scopes": "--scope",
    "aud": "--aud",
    "iss": "--iss",
    "session_id": "--session-id",
    "exp": "--expires-in",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A key with the algorithm that it signs with.

    ``key_id`` is what a key set calls it that ``licet keys jwks`` has written; None: a secret.
    """

    key: AllowedPrivateKeys | bytes = field(repr=False)
    algorithm: str
    key_id: str | None = None

    def sign(self, claims: Mapping[str, Any], *, key_id: str | None = None) -> str:
        """The token of these claims, in compact form (RFC 7515 §7.1).

        ``key_id`` names the key in its header (``kid``) in place of the signer's own name for it.
        """
        import jwt

        named = self.key_id if key_id is None else key_id
        headers = None if named is None else {"kid": named}
        return jwt.encode(dict(claims), self.key, algorithm=self.algorithm, headers=headers)


def find_signer(
    *,
    key_file: Path | None,
    secret_file: Path | None,
    environ: Mapping[str, str],
    algorithm: str | None,
) -> Signer:
    """The signer that a command's options name; the environment's where they name none.

    Raises:
        ConfigurationError: there is no key, there are two, or it cannot sign.
        InvalidInputError: the key does not fit the algorithm.
    """
    if key_file is not None and secret_file is not None:
        raise ConfigurationError("--key and --secret-file exclude each other")
    if secret_file is not None:
        source = str(secret_file)
        secret, fitting = secret_with_algorithms(read_small(secret_file), source=source)
        return Signer(key=secret, algorithm=chosen(algorithm, fitting, source=source))
    if key_file is not None:
        pem, source = read_small(key_file), str(key_file)
    elif found := find_secret(KEY_VARIABLE, environ):
        pem, source = found.encode(), found.variable
    else:
        raise ConfigurationError(
            f"nothing to sign with: give --key private.pem, or set {KEY_VARIABLE} to the private "
            f"key in PEM form, or {KEY_VARIABLE}{FILE_SUFFIX} to its file. A pair is made by: "
            "licet keys generate --out DIR"
        )
    private_key = load_private_key(pem, source=source)
    public = public_half(private_key, source=source)
    return Signer(
        # Keys of all other types were refused just now.
        key=cast("AllowedPrivateKeys", private_key),
        algorithm=chosen(algorithm, algorithms_of(public), source=source),
        key_id=public.key_id,
    )


def extra_claims(texts: Sequence[str]) -> dict[str, Any]:
    """The claims of ``--claim name=JSON``.

    Raises:
        InvalidInputError: one is of another form, is given twice, or has an option of its own.
    """
    claims: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise InvalidInputError("--claim", f"NAME=JSON, not {text!r}")
        if name in _OPTIONS:
            raise InvalidInputError(
                "--claim", f"{name!r} has an option of its own: {_OPTIONS[name]}"
            )
        if name in claims:
            raise InvalidInputError("--claim", f"{name!r} is given twice")
        try:
            claims[name] = json.loads(value, parse_constant=_refuse)
        except (ValueError, RecursionError):
            shown = value if len(value) <= _SHOWN_CHARS else f"{value[:_SHOWN_CHARS]}..."
            raise InvalidInputError(
                "--claim", f"{shown!r} is not JSON; text is quoted: '{name}=\"text\"'"
            ) from None
    return claims


def _refuse(constant: str) -> None:
    raise ValueError(constant)
