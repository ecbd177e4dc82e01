"""``licet keys id`` and ``licet keys jwks``: public keys, by their names and as a key set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from licet.errors import ConfigurationError

if TYPE_CHECKING:
    from licet.authn.keys import VerificationKey

_PEM = b"-----BEGIN "
_FILES = typer.Argument(metavar="FILE...", help="Public keys in PEM form.", show_default=False)


def key_id(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Public keys in PEM form, or JSON Web Key Sets.",
            show_default=False,
        ),
    ],
) -> None:
    """Print what keys are called: what 'licet revoke --key-id' takes. One key a line."""
    for file in files:
        for found in _keys_in(file):
            typer.echo(found)


def jwks(
    files: Annotated[list[Path], _FILES],
    *,
    algorithm: Annotated[
        str | None,
        typer.Option(
            help="What the keys sign with: what their type suggests if not given.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write it there, in one step, so that no server reads half of it. "
            "Without it the key set is printed.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Make a JSON Web Key Set of public keys, each named by its thumbprint (RFC 7517, 7638)."""
    from licet.cli.files import write_new

    named = {jwk["kid"]: jwk for jwk in (_jwk_in(file, algorithm) for file in files)}
    text = json.dumps({"keys": list(named.values())}, indent=2)
    if out is None:
        typer.echo(text)
        return
    write_new(out, f"{text}\n", mode=0o644, force=force)
    typer.echo(f"Wrote {out}, with: {', '.join(named)}.", err=True)


def public_jwk(key: VerificationKey, *, algorithm: str) -> dict[str, Any]:
    """A public key as a JSON Web Key that serves one algorithm (RFC 7517 §4, RFC 7518 §6)."""
    from jwt import get_algorithm_by_name

    members = get_algorithm_by_name(algorithm).to_jwk(key.material, as_dict=True)
    # RFC 7517 §4.3: it is not given beside "use".
    shown = {name: value for name, value in members.items() if name != "key_ops"}
    return {"kid": key.key_id, "use": "sig", "alg": algorithm, **shown}


def _keys_in(file: Path) -> list[str]:
    from licet.authn.jwk import parse_key_set
    from licet.authn.keys import ALGORITHMS
    from licet.cli.output import note
    from licet.small_files import read_small

    content = read_small(file)
    if not content.lstrip().startswith(b"{"):
        return [_public_key(content, file).key_id]
    parsed = parse_key_set(content, allowed=ALGORITHMS, secrets=True, source=str(file))
    if parsed.complaint is not None:
        raise ConfigurationError(f"{file}: {parsed.complaint}")
    for reason in parsed.skipped:
        note(f"{file}: {reason}")
    return [key.key_id for key in parsed.key_set.keys]


def _jwk_in(file: Path, algorithm: str | None) -> dict[str, Any]:
    from licet.cli.algorithms import algorithms_of, chosen
    from licet.small_files import read_small

    key = _public_key(read_small(file), file)
    return public_jwk(key, algorithm=chosen(algorithm, algorithms_of(key), source=str(file)))


def _public_key(content: bytes, file: Path) -> VerificationKey:
    from licet.authn.keys import ALGORITHMS, load_key

    if _PEM not in content:
        raise ConfigurationError(
            f"{file}: not a key in PEM form. A shared secret is published nowhere; "
            "its key id is the word 'secret'"
        )
    if b"PRIVATE KEY" in content:
        raise ConfigurationError(
            f"{file}: a private key: whoever has it signs tokens, so it is never published. "
            "Give the public one; 'openssl pkey -pubout' makes it of the private"
        )
    return load_key(content, allowed=ALGORITHMS, source=str(file))
