"""Revocations as rows: one in full, or many as a table."""

from __future__ import annotations

from collections.abc import Sequence

from licet.cli.dates import show_date
from licet.db.trust_records import RevocationKind, RevocationRecord

HEADINGS = ("ID", "KIND", "ISSUER", "VALUE", "ISSUED BEFORE", "IN FORCE UNTIL", "BY", "REASON")

_WITH_CUTOFF = frozenset((RevocationKind.SUBJECT, RevocationKind.LOGOUT))


def revocation_lines(record: RevocationRecord) -> list[tuple[str, str]]:
    """One revocation: names and values, what it does not have left out."""
    lines = [
        (heading.lower(), cell)
        for heading, cell in zip(HEADINGS, _cells(record), strict=True)
        if cell
    ]
    return [*lines, ("created", show_date(record.created_at_us))]


def revocation_table(records: Sequence[RevocationRecord]) -> list[tuple[str, ...]]:
    """Many: rows under ``HEADINGS``."""
    return [_cells(record) for record in records]


def _cells(record: RevocationRecord) -> tuple[str, ...]:
    # For all other kinds the cutoff is not looked at: shown, it would mislead.
    cutoff = show_date(record.issued_before_us) if record.kind in _WITH_CUTOFF else ""
    for_good = record.kind is RevocationKind.SERVICE_ACCOUNT
    until = "for good" if for_good else show_date(record.expires_at_us)
    return (
        record.id,
        record.kind.value,
        record.issuer_alias,
        record.value,
        cutoff,
        until,
        record.created_by or "",
        record.reason or "",
    )
