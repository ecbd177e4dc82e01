"""``licet keys generate``: a key pair that signs and verifies tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from licet.authn.keys import CURVE_ALGORITHMS, MAX_RSA_BITS, MIN_RSA_BITS, SECRET_BYTES
from licet.cli.algorithms import RSA
from licet.errors import ConfigurationError, InvalidInputError

_EDDSA = "EdDSA"
_ALGORITHMS = (*RSA, *CURVE_ALGORITHMS.values(), _EDDSA)
_NEXT = (
    "Next: the server gets the public key, in AuthorizationConfig(verification_keys=[...]) or in "
    "the environment variable JWT_VERIFICATION_KEY."
)


def generate(
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write private.pem (mode 0600) and public.pem there. "
            "Without it both are printed, the private key first.",
            show_default=False,
        ),
    ] = None,
    algorithm: Annotated[str, typer.Option(help=", ".join(_ALGORITHMS) + ".")] = "RS256",
    bits: Annotated[
        int | None,
        typer.Option(help="Size of an RSA key; 2048 if not given.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Make a key pair, unencrypted, in PEM form (PKCS #8 and SubjectPublicKeyInfo)."""
    private_pem, public_pem = key_pair(algorithm, bits=bits)
    if out is None:
        typer.echo(private_pem.strip())
        typer.echo(public_pem.strip())
        typer.echo(f"{_NEXT} Whatever signs tokens keeps the private key.", err=True)
        return
    private_file = write_pair(out, private_pem, public_pem, force=force)
    typer.echo(f"Wrote {private_file} and {out / 'public.pem'}.", err=True)
    typer.echo(_NEXT, err=True)
    typer.echo(
        f"A token: licet token mint --key {private_file} --sub alice --scope agents:run",
        err=True,
    )


def key_pair(algorithm: str, *, bits: int | None = None) -> tuple[str, str]:
    """A new key pair for an algorithm: ``(private_pem, public_pem)``.

    Args:
        algorithm: RS256 and the like (RFC 7518 §3.1), or EdDSA, which is Ed25519 here (RFC 8037).
        bits: the size of an RSA key.

    Raises:
        InvalidInputError: no key pair is made like that.
    """
    if algorithm in SECRET_BYTES:
        size = SECRET_BYTES[algorithm]
        raise InvalidInputError(
            "--algorithm",
            f"{algorithm} has no key pair but one secret that both sides share: "
            f"openssl rand -hex {size} > secret",
        )
    if algorithm not in _ALGORITHMS:
        raise InvalidInputError(
            "--algorithm", f"one of {', '.join(_ALGORITHMS)}, not {algorithm!r}"
        )
    if algorithm in RSA:
        size = MIN_RSA_BITS if bits is None else bits
        if not MIN_RSA_BITS <= size <= MAX_RSA_BITS:
            raise InvalidInputError("--bits", f"{MIN_RSA_BITS} to {MAX_RSA_BITS}, not {size}")
        from licet.utils.cryptography import generate_rsa_keys

        return generate_rsa_keys(size)
    if bits is not None:
        raise InvalidInputError("--bits", f"only for RSA keys; {algorithm} fixes the size")
    return _curve_pair(algorithm)


def write_pair(folder: Path, private_pem: str, public_pem: str, *, force: bool) -> Path:
    """Write ``private.pem`` (0600) and ``public.pem`` (0644), and give the path of the first.

    Raises:
        ConfigurationError: one of them exists and ``force`` is not set, or the folder is closed.
    """
    from licet.cli.files import write_new

    private_file, public_file = folder / "private.pem", folder / "public.pem"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{str(folder)!r} cannot be made: {error.strerror}") from None
    for file in (private_file, public_file):
        # Before the first is written: half a pair fits nothing.
        if file.exists() and not force:
            raise ConfigurationError(f"{str(file)!r} exists; --force overwrites both files")
    write_new(private_file, private_pem, mode=0o600, force=force)
    write_new(public_file, public_pem, mode=0o644, force=force)
    return private_file


def _curve_pair(algorithm: str) -> tuple[str, str]:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    curves: dict[str, ec.EllipticCurve] = {
        "ES256": ec.SECP256R1(),
        "ES384": ec.SECP384R1(),
        "ES512": ec.SECP521R1(),
    }
    key = (
        ed25519.Ed25519PrivateKey.generate()
        if algorithm == _EDDSA
        else ec.generate_private_key(curves[algorithm])
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()
