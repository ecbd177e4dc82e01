"""``licet token inspect``: what a token says, whether it verifies, and what it would grant."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licet.errors import ConfigurationError

if TYPE_CHECKING:
    from licet.authn.issuer import TrustedIssuer
    from licet.cli.token_reading import ReadToken

_STDIN = "-"
_GOOD, _BAD, _OPEN = "bold green", "bold red", "bold yellow"


def inspect(
    token: Annotated[
        str,
        typer.Argument(
            metavar="TOKEN",
            help="The token; without it, or with '-', it is read from standard input, where other "
            "users of this machine do not see it.",
            show_default=False,
        ),
    ] = _STDIN,
    *,
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The public key, in PEM form.", show_default=False),
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The secret, for HS256 and its like.", show_default=False
        ),
    ] = None,
    audience: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Whom the token has to be for: the id of an AgentOS. Repeatable.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show what a token says; with a key, whether it is true. Exits with 1 if it is refused."""
    from licet.cli.token_reading import read_token

    verification_key = _verification_key(key, secret_file)
    text = _text(token)
    read = read_token(text)
    refusal = read.refusal
    if refusal is None and verification_key is not None:
        refusal = _refusal(text, _issuer(verification_key, read, audience or ()))
    _verdict(read, refusal, source=key or secret_file, audience=audience)
    _show(read)
    if refusal is not None:
        raise typer.Exit(1)


def _text(token: str) -> bytes:
    """The token without what copying leaves around it."""
    if token == _STDIN:
        if sys.stdin.isatty():
            typer.echo("Paste the token, then Enter and Ctrl-D.", err=True)
        given = sys.stdin.buffer.read(1024 * 1024)
    else:
        given = token.encode("utf-8", "surrogateescape")
    given = given.strip()
    return given[7:].strip() if given[:7].lower() == b"bearer " else given


def _verification_key(key: Path | None, secret_file: Path | None) -> bytes | None:
    from licet.authn.keys import ALGORITHMS, load_key
    from licet.cli.files import read_small

    if key is not None and secret_file is not None:
        raise ConfigurationError("--key and --secret-file exclude each other")
    file = key or secret_file
    if file is None:
        return None
    content = read_small(file)
    if (b"-----BEGIN " in content) is (key is None):
        raise ConfigurationError(
            f"{file}: not a key in PEM form; a secret is given with --secret-file"
            if key is not None
            else f"{file}: a key in PEM form is no secret; use --key"
        )
    # A key that does not load is told before anything is said of the token.
    load_key(content, allowed=ALGORITHMS, source=str(file))
    return content


def _issuer(key: bytes, read: ReadToken, audiences: Sequence[str]) -> TrustedIssuer:
    """The rules of a server with this key, each algorithm allowed that the key can serve."""
    from licet.authn.issuer import TrustedIssuer
    from licet.authn.keys import ALGORITHMS, load_key

    return TrustedIssuer(
        verification_keys=[key],
        algorithms=sorted(load_key(key, allowed=ALGORITHMS).algorithms),
        # Nobody said whom it should be for: then it is for whom it says.
        audiences=tuple(audiences) or _named_audiences(read),
        verify_audience=bool(audiences),
    )


def _named_audiences(read: ReadToken) -> tuple[str, ...]:
    named = read.claims.get("aud")
    values = named if isinstance(named, list) else [named]
    return tuple(value for value in values if isinstance(value, str))


def _refusal(text: bytes, issuer: TrustedIssuer) -> str | None:
    """Why the token is refused by these rules; None: it is not."""
    from licet.authn.jwt import JwtVerifier
    from licet.authn.refusal import TokenRefusedError

    try:
        JwtVerifier(issuer).verify(text)
    except TokenRefusedError as refused:
        return str(refused)
    return None


def _verdict(
    read: ReadToken,
    refusal: str | None,
    *,
    source: Path | None,
    audience: Sequence[str] | None,
) -> None:
    from licet.cli.output import note, show_verdict

    if refusal is not None:
        show_verdict(f"REFUSED: {refusal}", style=_BAD)
    elif source is None:
        show_verdict(
            "NOT VERIFIED: anybody can write what stands below. Give --key public.pem", style=_OPEN
        )
    else:
        show_verdict(f"VERIFIED with {source}", style=_GOOD)
        if "aud" in read.claims and not audience:
            note("The audience was not checked; give the id of your AgentOS with --audience.")


def _show(read: ReadToken) -> None:
    from licet.cli.output import show_table
    from licet.cli.token_reading import describe_scope, described, readable_scopes

    now = time.time()
    for title, members in (("Header", read.header), ("Claims", read.claims)):
        if members:
            typer.echo()
            show_table(described(members, now=now), title=title)
    scopes = readable_scopes(read.claims)
    if scopes:
        typer.echo()
        show_table([(scope, describe_scope(scope)) for scope in scopes], title="Scopes")
