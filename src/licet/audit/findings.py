"""Findings: what an audit trail was found to lack, or to have too much, and where."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not stand as it was written.

    Attributes:
        code: for programs; of records ``changed_record``, ``missing_records``,
            ``inserted_records`` or ``cut_off``; of batches ``changed_batch`` or
            ``missing_batches``; of writers ``changed_writer``, ``missing_writer`` or
            ``inserted_writer``; of signatures ``bad_signature``, ``unknown_key``,
            ``unsigned_writer`` or ``bad_anchor``.
        text: for people.
        writer_id: whose chain; None: of the registrations.
        first_seq, last_seq: which records, where that is known; both inclusive.
    """

    code: str
    text: str
    writer_id: str | None = None
    first_seq: int | None = None
    last_seq: int | None = None


@dataclass(slots=True)
class Report:
    """What was found, and how much was looked at.

    ``unsigned`` writers had no key, ``unverified`` ones a key that was not given: their chains are
    consistent, or not, but anybody may have written them.
    """

    findings: list[Finding] = field(default_factory=list)
    writers: int = 0
    records: int = 0
    anchors: int = 0
    unsigned: int = 0
    unverified: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def add(
        self,
        code: str,
        text: str,
        writer_id: str | None = None,
        first_seq: int | None = None,
        last_seq: int | None = None,
    ) -> None:
        """Note a finding; one that goes on where the latest of its kind ended makes that longer."""
        found = Finding(code, text, writer_id, first_seq, last_seq)
        for place in range(len(self.findings) - 1, max(-1, len(self.findings) - 4), -1):
            known = self.findings[place]
            if known.last_seq is not None and found == replace(
                known, first_seq=known.last_seq + 1, last_seq=last_seq
            ):
                self.findings[place] = replace(known, last_seq=last_seq)
                return
        self.findings.append(found)
