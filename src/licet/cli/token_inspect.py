"""``licet token inspect``: what a token says, whether it verifies, and what it would grant."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licet.cli.token_input import STDIN, token_of_argument

if TYPE_CHECKING:
    from licet.authn.principal import Principal
    from licet.cli.token_reading import ReadToken
    from licet.cli.verifying import GivenKeys

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
    ] = STDIN,
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
    jwks_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The keys, as a JSON Web Key Set.", show_default=False),
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
    from licet.authn.refusal import TokenRefusedError
    from licet.cli.token_reading import read_token
    from licet.cli.verifying import given_keys

    keys = given_keys(key=key, secret_file=secret_file, jwks_file=jwks_file)
    text = token_of_argument(token)
    read = read_token(text)
    refusal, principal = read.refusal, None
    if refusal is None and keys is not None:
        try:
            principal = _verified(text, keys, read, audience or ())
        except TokenRefusedError as refused:
            refusal = str(refused)
    _verdict(read, refusal, source=None if keys is None else keys.source, audience=audience)
    _show(read, principal)
    if refusal is not None:
        raise typer.Exit(1)


def _verified(text: bytes, keys: GivenKeys, read: ReadToken, audiences: Sequence[str]) -> Principal:
    return keys.verify(
        text,
        # Nobody said whom it should be for: then it is for whom it says.
        audiences=audiences or _named_audiences(read),
        verify_audience=bool(audiences),
    )


def _named_audiences(read: ReadToken) -> tuple[str, ...]:
    named = read.claims.get("aud")
    values = named if isinstance(named, list) else [named]
    return tuple(value for value in values if isinstance(value, str) and value)


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


def _show(read: ReadToken, principal: Principal | None) -> None:
    from licet.cli.output import show_table
    from licet.cli.token_reading import describe_scope, described, readable_scopes

    now = time.time()
    for title, members in (("Header", read.header), ("Claims", read.claims)):
        if members:
            typer.echo()
            show_table(described(members, now=now), title=title)
    ids = [("token id", read.token_id), ("key id", principal.key_id if principal else None)]
    revocable = [
        (name, value, f"licet revoke --{name.replace(' ', '-')}") for name, value in ids if value
    ]
    if revocable:
        typer.echo()
        show_table(revocable, title="Ids")
    scopes = readable_scopes(read.claims)
    if scopes:
        typer.echo()
        show_table([(scope, describe_scope(scope)) for scope in scopes], title="Scopes")
