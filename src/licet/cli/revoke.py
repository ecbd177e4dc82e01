"""``licet revoke``: take back what was given out, also when nobody can log in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from licet.cli.serve import TARGET
from licet.errors import ConfigurationError

_TOKEN_ID = typer.Option(
    metavar="ID",
    help="A token: its jti, or the digest that 'licet token inspect' shows.",
    show_default=False,
)
_TOKEN_FILE = typer.Option(
    metavar="FILE",
    help="The token in that file, or with '-' on standard input. One of a service account revokes "
    "the account.",
    show_default=False,
)
_SID = typer.Option(metavar="ID", help="A login session at the auth server.", show_default=False)
_SUBJECT = typer.Option(
    metavar="SUB",
    help="Everything that was issued to somebody up to now, and for good the service accounts "
    "that they made and the tokens that they rotated others' accounts to.",
    show_default=False,
)
_KEY_ID = typer.Option(
    metavar="ID",
    help="Everything that a key signed: the id that 'licet keys id' prints.",
    show_default=False,
)
_SERVICE_ACCOUNT = typer.Option(
    metavar="NAME-OR-ID", help="A service account, for good.", show_default=False
)
_ISSUER = typer.Option(
    metavar="ALIAS", help="Whose it is, where several are trusted.", show_default=False
)
_ISSUED_BEFORE = typer.Option(
    metavar="TIME",
    help="With --subject: what was issued up to then, e.g. 2026-01-31T18:00:00Z.",
    show_default=False,
)
_EXPIRES_IN = typer.Option(
    metavar="SPAN",
    help="How long it is in force, e.g. 12h or 30d. If not given, as long as what is revoked "
    "can live.",
    show_default=False,
)
_REASON = typer.Option(help="Why, for whoever reads it later.", show_default=False)


def revoke(
    target: Annotated[str, TARGET],
    *,
    token_id: Annotated[str | None, _TOKEN_ID] = None,
    token_file: Annotated[Path | None, _TOKEN_FILE] = None,
    sid: Annotated[str | None, _SID] = None,
    subject: Annotated[str | None, _SUBJECT] = None,
    key_id: Annotated[str | None, _KEY_ID] = None,
    service_account: Annotated[str | None, _SERVICE_ACCOUNT] = None,
    issuer: Annotated[str | None, _ISSUER] = None,
    issued_before: Annotated[str | None, _ISSUED_BEFORE] = None,
    expires_in: Annotated[str | None, _EXPIRES_IN] = None,
    reason: Annotated[str | None, _REASON] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Revoke one thing, in the database of a program: each process that serves it hears at once."""
    from licet.cli.program_db import in_program_db
    from licet.cli.revoking import Conditions, Named, revoke_in, tell
    from licet.cli.token_input import token_of_file

    given = {
        "--token-id": token_id,
        "--token-file": token_file,
        "--sid": sid,
        "--subject": subject,
        "--key-id": key_id,
        "--service-account": service_account,
    }
    named = [(option, value) for option, value in given.items() if value is not None]
    if len(named) != 1:
        raise ConfigurationError(f"name one thing to revoke, by one of {', '.join(given)}")
    ((option, value),) = named
    now = time.time()
    conditions = Conditions.of_options(
        issuer=issuer, issued_before=issued_before, expires_in=expires_in, reason=reason, now=now
    )
    token = token_of_file(value) if isinstance(value, Path) else None
    what = Named(option=option, value=str(value), token=token)
    tell(
        in_program_db(target, lambda program_db: revoke_in(program_db, what, conditions, now=now)),
        as_json=as_json,
    )
