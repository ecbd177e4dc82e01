"""``licet token mint``: play the auth server, for trying things out."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from licet.cli.duration import parse_duration
from licet.cli.signing import KEY_VARIABLE, extra_claims, find_signer


def mint(
    *,
    sub: Annotated[str, typer.Option(help="Whom the token is about.", show_default=False)],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPE",
            help="What it permits, e.g. agents:run. Repeatable.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"The private key in PEM form; without it, "
            f"{KEY_VARIABLE} holds the key itself, or {KEY_VARIABLE}_FILE names its file.",
            show_default=False,
        ),
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The secret, for HS256 and its like.", show_default=False
        ),
    ] = None,
    algorithm: Annotated[
        str | None,
        typer.Option(help="What the key's type suggests if not given.", show_default=False),
    ] = None,
    kid: Annotated[
        str | None,
        typer.Option(
            help="What the server's key set calls the key; as 'licet keys jwks' does if not given.",
            show_default=False,
        ),
    ] = None,
    expires_in: Annotated[str, typer.Option(metavar="SPAN", help="90s, 15m, 1h, 7d.")] = "1h",
    aud: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="For whom it is: the id of an AgentOS. Repeatable.",
            show_default=False,
        ),
    ] = None,
    iss: Annotated[str | None, typer.Option(help="Who issued it.", show_default=False)] = None,
    session_id: Annotated[
        str | None,
        typer.Option(help="The session of requests that name none.", show_default=False),
    ] = None,
    claim: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=JSON",
            help="""Another claim, e.g. 'org="acme"' or 'level=3'. Repeatable.""",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Sign a token and print it, and nothing else."""
    signer = find_signer(
        key_file=key, secret_file=secret_file, environ=os.environ, algorithm=algorithm
    )
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": sub,
        "iat": now,
        "exp": now + parse_duration(expires_in, field="--expires-in"),
        "jti": str(uuid.uuid4()),
    }
    if scope:
        claims["scopes"] = scope
    if aud:
        claims["aud"] = aud[0] if len(aud) == 1 else aud
    if iss is not None:
        claims["iss"] = iss
    if session_id is not None:
        claims["session_id"] = session_id
    claims |= extra_claims(claim or [])
    typer.echo(signer.sign(claims, key_id=kid))
