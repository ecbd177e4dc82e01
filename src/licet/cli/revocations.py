"""``licet revocations``: what was revoked and is in force; and taking it back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from licet.cli.serve import TARGET

if TYPE_CHECKING:
    from licet.cli.program_db import ProgramDb
    from licet.db.trust_records import RevocationPage

_KINDS = ("token", "session", "subject", "logout", "key", "service_account")


def list_revocations(
    target: Annotated[str, TARGET],
    *,
    kind: Annotated[
        str | None,
        typer.Option(help=f"Only these: {', '.join(_KINDS)}.", show_default=False),
    ] = None,
    issuer: Annotated[
        str | None,
        typer.Option(metavar="ALIAS", help="Only of this issuer.", show_default=False),
    ] = None,
    value: Annotated[
        str | None,
        typer.Option(help="Only what names this token id, subject, key.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Print what is revoked, the latest first."""
    from licet.cli.output import note, show_table
    from licet.cli.program_db import in_program_db
    from licet.cli.revocation_rows import HEADINGS, revocation_table
    from licet.db.trust_records import RevocationKind, RevocationQuery
    from licet.errors import InvalidInputError

    if kind is not None and kind not in _KINDS:
        raise InvalidInputError("--kind", f"one of {', '.join(_KINDS)}, not {kind!r}")
    query = RevocationQuery(
        now_us=time.time_ns() // 1000,
        kind=None if kind is None else RevocationKind(kind),
        issuer_alias=issuer,
        value=value,
        limit=limit,
    )

    async def listed(program_db: ProgramDb) -> RevocationPage:
        return await program_db.store.list_revocations(query)

    found = in_program_db(target, listed)
    if as_json:
        from licet.os.views import revocation_view

        typer.echo(json.dumps([revocation_view(record) for record in found.revocations], indent=2))
    else:
        show_table(revocation_table(found.revocations), headings=HEADINGS)
    if found.total_count > len(found.revocations):
        note(f"The latest {len(found.revocations)} of {found.total_count}; --limit shows more.")


def delete(
    target: Annotated[str, TARGET],
    revocation_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="As 'licet revocations list' shows it.", show_default=False
        ),
    ],
) -> None:
    """Take a revocation back. Service accounts that it ended stay revoked."""
    from licet.cli.output import note
    from licet.cli.program_db import in_program_db
    from licet.errors import NotFoundError
    from licet.os import values

    known = values.identifier(revocation_id, "ID")

    async def deleted(program_db: ProgramDb) -> tuple[bool, str]:
        taken_back = await program_db.store.delete_revocation(
            known, deleted_at_us=time.time_ns() // 1000
        )
        return taken_back, program_db.place

    taken_back, place = in_program_db(target, deleted)
    if not taken_back:
        raise NotFoundError(
            "revocation", known, f"no revocation of the id {known!r} is in force in {place}"
        )
    note(
        f"Taken back within a second wherever {place} is used. "
        "Service accounts that it ended stay revoked."
    )
