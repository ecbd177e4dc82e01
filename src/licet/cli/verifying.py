"""The keys that a command verifies a token with, and the rules of a server that has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from licet.errors import ConfigurationError

if TYPE_CHECKING:
    from licet.authn.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenKeys:
    """Keys from one file, ``source``. Each algorithm is allowed that a key can serve."""

    source: Path
    settings: Mapping[str, Any] = field(repr=False)

    def verify(self, token: bytes, *, audiences: Sequence[str], verify_audience: bool) -> Principal:
        """Who the token speaks for, by the rules of a server with these keys.

        Raises:
            TokenRefusedError: it does not verify; the message says why.
            ConfigurationError: the keys cannot be used.
        """
        from licet.authn.issuer import TrustedIssuer
        from licet.authn.jwt import JwtVerifier
        from licet.authn.key_sources import key_source

        issuer = TrustedIssuer(
            **self.settings, audience=tuple(audiences), verify_audience=verify_audience
        )
        return JwtVerifier(issuer, key_source(issuer)).verify(token).principal


def given_keys(
    *, key: Path | None, secret_file: Path | None, jwks_file: Path | None
) -> GivenKeys | None:
    """The keys that a command's options name; None: they name none.

    Raises:
        ConfigurationError: several options were given, or the file holds no such key.
    """
    named = [file for file in (key, secret_file, jwks_file) if file is not None]
    if len(named) > 1:
        raise ConfigurationError("--key, --secret-file and --jwks-file exclude each other")
    if not named:
        return None
    (file,) = named
    settings = _key_set(file) if jwks_file is not None else _single(file, is_pem=key is not None)
    return GivenKeys(source=file, settings=settings)


def _single(file: Path, *, is_pem: bool) -> Mapping[str, Any]:
    from licet.authn.keys import ALGORITHMS, load_key
    from licet.small_files import read_small

    content = read_small(file)
    if (b"-----BEGIN " in content) is not is_pem:
        raise ConfigurationError(
            f"{file}: not a key in PEM form; a secret is given with --secret-file, "
            "a key set with --jwks-file"
            if is_pem
            else f"{file}: a key in PEM form is no secret; use --key"
        )
    loaded = load_key(content, allowed=ALGORITHMS, source=str(file))
    return {"verification_keys": [content], "algorithms": sorted(loaded.algorithms)}


def _key_set(file: Path) -> Mapping[str, Any]:
    from licet.authn.keys import ALGORITHMS

    return {"jwks_file": file, "algorithms": sorted(ALGORITHMS)}
