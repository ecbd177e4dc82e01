"""``licet service-accounts``: tokens for machines, made, listed, renewed and revoked."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licet.cli.serve import TARGET
from licet.errors import ConfigurationError

if TYPE_CHECKING:
    from licet.cli.program_db import ProgramDb
    from licet.db.trust_records import ServiceAccountRecord
    from licet.os.service_accounts import Grantor, Minted, Minting

_NAME = typer.Argument(
    metavar="NAME",
    help="1 to 63 of a-z, 0-9, _ and -; a letter or digit first.",
    show_default=False,
)
_ACCOUNT = typer.Argument(metavar="NAME-OR-ID", help="Which one.", show_default=False)
_SCOPE = typer.Option(
    metavar="SCOPE",
    help="What it may, e.g. agents:run. Repeatable. If not given: run everything, and read "
    "sessions and the config.",
    show_default=False,
)
_TOKEN_FILE = typer.Option(
    metavar="FILE",
    help="Write the token there (mode 0600) in place of printing it. The file must not exist.",
    show_default=False,
)
_DAYS = typer.Option(metavar="DAYS", help="90 if not given.", show_default=False)
_JSON = typer.Option("--json", help="For programs.")


def create(
    target: Annotated[str, TARGET],
    name: Annotated[str, _NAME],
    *,
    scope: Annotated[list[str] | None, _SCOPE] = None,
    expires_in_days: Annotated[int | None, _DAYS] = None,
    never_expires: Annotated[
        bool, typer.Option("--never-expires", help="Its token is good until it is revoked.")
    ] = False,
    allow_privileged_scopes: Annotated[
        bool,
        typer.Option(
            "--allow-privileged-scopes", help="Needed for the administrator's, write and delete."
        ),
    ] = False,
    token_file: Annotated[Path | None, _TOKEN_FILE] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Make a service account, and print its token and nothing else."""
    from licet.cli.new_token import handing_over
    from licet.cli.program_db import in_program_db
    from licet.os.service_accounts import DEFAULT_EXPIRY_DAYS, DEFAULT_SCOPES, NewAccount

    if never_expires and expires_in_days is not None:
        raise ConfigurationError("--never-expires and --expires-in-days exclude each other")
    days = DEFAULT_EXPIRY_DAYS if expires_in_days is None else expires_in_days
    wanted = NewAccount(
        name=name,
        scopes=tuple(dict.fromkeys(scope or DEFAULT_SCOPES)),
        expires_in_days=None if never_expires else days,
        allow_privileged_scopes=allow_privileged_scopes,
    )

    async def minted(program_db: ProgramDb) -> Minted:
        return await _minting(program_db).mint(wanted, _operator(program_db))

    with handing_over(token_file, as_json=as_json) as hand_over:
        hand_over(in_program_db(target, minted))


def list_accounts(
    target: Annotated[str, TARGET],
    *,
    include_revoked: Annotated[
        bool, typer.Option("--include-revoked", help="Those that were revoked, too.")
    ] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Print the service accounts, the latest first."""
    from licet.cli.account_rows import HEADINGS, account_table
    from licet.cli.output import show_table
    from licet.cli.program_db import in_program_db
    from licet.os.account_lookup import every_account

    async def listed(program_db: ProgramDb) -> list[ServiceAccountRecord]:
        accounts = every_account(program_db.store, include_revoked=include_revoked)
        return [account async for account in accounts]

    found = in_program_db(target, listed)
    if as_json:
        from licet.os.views import service_account_view

        typer.echo(json.dumps([service_account_view(account) for account in found], indent=2))
        return
    show_table(account_table(found, now=time.time()), headings=HEADINGS)


def rotate(
    target: Annotated[str, TARGET],
    account: Annotated[str, _ACCOUNT],
    *,
    overlap: Annotated[
        str,
        typer.Option(
            metavar="SPAN", help="How long the old token stays good, e.g. 1d. 0: it ends now."
        ),
    ] = "1h",
    expires_in_days: Annotated[int | None, _DAYS] = None,
    token_file: Annotated[Path | None, _TOKEN_FILE] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Give a service account another token, and print that and nothing else."""
    from licet.cli.duration import parse_duration
    from licet.cli.new_token import handing_over
    from licet.cli.program_db import in_program_db
    from licet.os.account_lookup import find_account

    overlap_seconds = 0 if overlap == "0" else parse_duration(overlap, field="--overlap")

    async def rotated(program_db: ProgramDb) -> Minted:
        found = await find_account(program_db.store, account, now=time.time())
        return await _minting(program_db).rotate(
            found.id,
            _operator(program_db),
            overlap_seconds=overlap_seconds,
            expires_in_days=expires_in_days,
        )

    with handing_over(token_file, as_json=as_json) as hand_over:
        hand_over(in_program_db(target, rotated))


def revoke(target: Annotated[str, TARGET], account: Annotated[str, _ACCOUNT]) -> None:
    """Revoke a service account, for good. 'licet revoke --service-account' also keeps a reason."""
    from licet.cli.output import note
    from licet.cli.program_db import in_program_db
    from licet.os.account_lookup import find_account

    async def revoked(program_db: ProgramDb) -> tuple[ServiceAccountRecord, str]:
        found = await find_account(program_db.store, account, now=time.time())
        return await _minting(program_db).revoke(found.id), program_db.place

    ended, place = in_program_db(target, revoked)
    note(
        f"Service account {ended.name!r} ({ended.id}) is revoked; in force within a second "
        f"wherever {place} is used."
    )


def _minting(program_db: ProgramDb) -> Minting:
    from licet.os.service_accounts import Minting

    policy = program_db.policy
    return Minting(program_db.store, admin_scope=policy.admin_scope, families=policy.families)


def _operator(program_db: ProgramDb) -> Grantor:
    """Whoever reaches the database holds everything."""
    from licet.authz.grants import compile_grants
    from licet.os.service_accounts import Grantor

    policy = program_db.policy
    grants = compile_grants(
        (policy.admin_scope,), admin_scope=policy.admin_scope, families=policy.families
    )
    return Grantor(grants=grants)
