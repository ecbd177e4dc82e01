"""What ``licet revoke`` does in the database of a program, and what it says of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from licet.cli.dates import parse_date
from licet.cli.duration import parse_duration
from licet.cli.leaked_token import LeakedToken, leaked_token
from licet.cli.output import note, show_table
from licet.cli.revocation_rows import revocation_lines
from licet.db.trust_records import RevocationKind, RevocationRecord
from licet.errors import InvalidInputError
from licet.os import values
from licet.os.account_lookup import find_account
from licet.os.revocations import IsServiceAccountError, Revoke, Revoking
from licet.os.routes.revocation_bodies import MAX_REASON_CHARS
from licet.os.views import revocation_view

if TYPE_CHECKING:
    from licet.cli.program_db import ProgramDb

OPERATOR = "operator"
"""Who revoked, where the command line did. No owner's name: those hold a ``|``."""

_KINDS = {
    "--token-id": RevocationKind.TOKEN,
    "--sid": RevocationKind.SESSION,
    "--subject": RevocationKind.SUBJECT,
    "--key-id": RevocationKind.KEY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What was named, by which option; ``token`` is what the file of ``--token-file`` holds."""

    option: str
    value: str
    token: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What was said besides. Times are epoch seconds; None: nothing was."""

    issuer_alias: str | None = None
    issued_before: float | None = None
    expires_at: float | None = None
    reason: str | None = None

    @classmethod
    def of_options(
        cls,
        *,
        issuer: str | None,
        issued_before: str | None,
        expires_in: str | None,
        reason: str | None,
        now: float,
    ) -> Conditions:
        """Read options; ``now`` is epoch seconds.

        Raises:
            InvalidInputError: one is of another form.
        """
        if reason is not None and len(values.text(reason, "--reason")) > MAX_REASON_CHARS:
            raise InvalidInputError("--reason", f"at most {MAX_REASON_CHARS} characters")
        return cls(
            issuer_alias=issuer,
            issued_before=(
                None
                if issued_before is None
                else parse_date(issued_before, field="--issued-before")
            ),
            expires_at=(
                None
                if expires_in is None
                else now + parse_duration(expires_in, field="--expires-in")
            ),
            reason=reason,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """What was stored, and what is to be said beside it."""

    record: RevocationRecord
    remarks: tuple[str, ...]
    place: str


async def revoke_in(
    program_db: ProgramDb, what: Named, conditions: Conditions, *, now: float
) -> Revoked:
    """Revoke it. ``now`` is epoch seconds.

    Raises:
        InvalidInputError: an option does not fit, or names nothing that is there.
        NotFoundError: there is no such service account.
    """
    found = await _found(program_db, what, conditions, now)
    _check_fit(found.kind, conditions)
    revoking = Revoking(
        program_db.store,
        [issuer for issuer, _ in program_db.issuers],
        outlives_seconds=program_db.outlives_seconds,
    )
    wanted = Revoke(
        kind=found.kind,
        value=found.value,
        issuer_alias=found.issuer_alias,
        issued_before=conditions.issued_before,
        expires_at=conditions.expires_at,
        ends_at=found.expires_at,
        reason=conditions.reason,
        created_by=OPERATOR,
    )
    try:
        record = await revoking.revoke(wanted)
    except IsServiceAccountError as error:
        raise InvalidInputError(
            what.option,
            f"{what.value!r} is a service account's; use --service-account {error.account}",
        ) from None
    unknown = _unknown_key(program_db, record)
    remarks = (*found.remarks, unknown) if unknown is not None else found.remarks
    return Revoked(record=record, remarks=remarks, place=program_db.place)


def tell(revoked: Revoked, *, as_json: bool) -> None:
    """Print what was revoked; on stderr what follows of it."""
    record = revoked.record
    if as_json:
        typer.echo(json.dumps(revocation_view(record), indent=2))
    else:
        show_table(revocation_lines(record))
    for remark in revoked.remarks:
        note(remark)
    if record.kind is RevocationKind.SUBJECT:
        note("Service accounts that the subject made up to then are revoked for good,")
        note("and of others' accounts the tokens that they rotated them to.")
    undone = (
        "A service account is revoked for good."
        if record.kind is RevocationKind.SERVICE_ACCOUNT
        else f"Taken back by: licet revocations delete PROGRAM {record.id}"
    )
    note(f"In force within a second wherever {revoked.place} is used. {undone}")


async def _found(
    program_db: ProgramDb, what: Named, conditions: Conditions, now: float
) -> LeakedToken:
    if what.token is not None:
        return await leaked_token(
            what.token, program_db, issuer_alias=conditions.issuer_alias, now=now
        )
    value = values.identifier(what.value, what.option)
    kind = _KINDS.get(what.option)
    if kind is not None:
        return LeakedToken(kind=kind, value=value, issuer_alias=conditions.issuer_alias)
    account = await find_account(program_db.store, value, now=now)
    return LeakedToken(kind=RevocationKind.SERVICE_ACCOUNT, value=account.id)


def _check_fit(kind: RevocationKind, conditions: Conditions) -> None:
    """Refuse what would have no effect."""
    if conditions.issued_before is not None and kind is not RevocationKind.SUBJECT:
        raise InvalidInputError("--issued-before", "only with --subject; the rest ends wholly")
    if kind is not RevocationKind.SERVICE_ACCOUNT:
        return
    for option, given in (
        ("--issuer", conditions.issuer_alias),
        ("--expires-in", conditions.expires_at),
    ):
        if given is not None:
            raise InvalidInputError(
                option, "not for a service account: it has no issuer, and is revoked for good"
            )


def _unknown_key(program_db: ProgramDb, record: RevocationRecord) -> str | None:
    if record.kind is not RevocationKind.KEY:
        return None
    alias = record.issuer_alias
    key_set = {issuer.alias: source for issuer, source in program_db.issuers}[alias].current()
    known = {key.key_id for key in key_set.keys}
    if key_set.incomplete or record.value in known:
        return None
    names = ", ".join(sorted(known))
    return f"At present no key of {alias!r} has this id; its keys are: {names}"
