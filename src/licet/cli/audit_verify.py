"""``licet audit verify``: whether the audit trail stands as it was written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licet.cli.serve import TARGET

if TYPE_CHECKING:
    from licet.audit.anchors import Anchor
    from licet.audit.signing import Verifier
    from licet.audit.verifying import Report
    from licet.cli.program_db import ProgramDb

_FOUND = 1
_HEADINGS = ("WHAT", "WRITER", "RECORDS", "")


def verify(
    target: Annotated[str, TARGET],
    *,
    key_files: Annotated[
        list[Path] | None,
        typer.Option(
            "--key-file",
            help="A key that signed: an Ed25519 key (PEM; the public one is enough) or the secret. "
            "The key of the "
            "environment (LICET_AUDIT_KEY or LICET_AUDIT_KEY_FILE) is one, too.",
            show_default=False,
        ),
    ] = None,
    anchor_files: Annotated[
        list[Path] | None,
        typer.Option(
            "--anchors",
            help="A file or a log in which anchors were kept.",
            show_default=False,
        ),
    ] = None,
    unsigned_until: Annotated[
        int,
        typer.Option(
            "--unsigned-until",
            metavar="NUMBER",
            min=0,
            help="The last writer that had no key yet; with a key, none may have signed nothing.",
        ),
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look for records that were changed, removed, inserted or cut off, and for missing writers.

    Fails (1) if there are any.
    """
    from licet.audit.verifying import verify as verify_trail
    from licet.cli.program_db import in_program_db

    verifiers = _verifiers(key_files or ())
    anchors = [anchor for file in anchor_files or () for anchor in _anchors(file)]

    async def verified(program_db: ProgramDb) -> tuple[Report, str]:
        report = await verify_trail(
            program_db.db.audit(),
            verifiers=verifiers,
            anchors=anchors,
            unsigned_until=unsigned_until,
        )
        return report, program_db.place

    report, place = in_program_db(target, verified)
    if as_json:
        typer.echo(json.dumps({**asdict(report), "sound": report.is_sound}, indent=2))
    else:
        _show(report, place)
    if not report.is_sound:
        raise typer.Exit(_FOUND)


def _verifiers(files: Sequence[Path]) -> list[Verifier]:
    from licet.audit.config import KEY_VARIABLE
    from licet.audit.signing import load_verifier
    from licet.secret_variables import find_secret
    from licet.small_files import read_small

    keys: list[str | bytes] = [read_small(file) for file in files]
    if secret := find_secret(KEY_VARIABLE):
        keys.append(secret.value)
    return [load_verifier(key) for key in keys]


def _anchors(file: Path) -> list[Anchor]:
    from licet.audit.anchors import anchors_in
    from licet.errors import ConfigurationError

    try:
        # A log may hold anything; what is no text is no anchor.
        with file.open(encoding="utf-8", errors="replace") as lines:
            found = list(anchors_in(lines))
    except OSError as error:
        raise ConfigurationError(f"{str(file)!r} cannot be read: {error.strerror}") from None
    if not found:
        raise ConfigurationError(f"{str(file)!r} has no anchor in it")
    return found


def _show(report: Report, place: str) -> None:
    from licet.cli.output import note, show_table, show_verdict

    if report.findings:
        show_table(
            [
                (
                    finding.code,
                    finding.writer_id or "",
                    _range(finding.first_seq, finding.last_seq),
                    finding.text,
                )
                for finding in report.findings
            ],
            headings=_HEADINGS,
        )
    looked_at = (
        f"{report.records} records of {report.writers} writers in {place}, {report.anchors} anchors"
    )
    if report.unsigned:
        note(
            f"{report.unsigned} writers signed nothing: whoever can write the database could have "
            "written their records. Set LICET_AUDIT_KEY"
        )
    if report.unverified:
        note(
            f"{report.unverified} writers signed with a key that was not given (--key-file): their "
            "signatures were not looked at"
        )
    if not report.anchors:
        note("No anchors were given (--anchors): an end that was cut off would not be missed")
    if report.is_sound:
        show_verdict(f"Sound: {looked_at}", style="bold green")
    else:
        show_verdict(f"NOT SOUND: {len(report.findings)} findings; {looked_at}", style="bold red")


def _range(first: int | None, last: int | None) -> str:
    if first is None:
        return ""
    return str(first) if first == last else f"{first}-{last}"
