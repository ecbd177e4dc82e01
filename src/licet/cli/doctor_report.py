"""What ``licet doctor`` has found, as text and for programs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from licet.cli.output import printable, show_verdict

if TYPE_CHECKING:
    from licet.doctor.finding import Finding, Outcome

_INDENT = " " * 10
_ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Report:
    """The outcomes, and which codes are meant so.

    Args:
        outcomes: of the checks, in their order.
        accepted: codes; what was found with them is shown, and counts as nothing.
    """

    outcomes: Sequence[Outcome]
    accepted: Collection[str] = ()

    @property
    def left(self) -> Sequence[Finding]:
        """What there is to mend."""
        found = (finding for outcome in self.outcomes for finding in outcome.findings)
        return [finding for finding in found if finding.kind.code not in self.accepted]

    def show(self) -> None:
        """Print it for people."""
        for line in self._lines():
            typer.echo(printable(line))
        left = self.left
        if left:
            show_verdict(f"To mend: {len(left)}", style="bold red")
        else:
            show_verdict("Nothing to mend", style="bold green")

    def to_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "ok": not self.left,
            "checks": [
                {
                    "about": outcome.about,
                    "level": outcome.level.value,
                    "findings": [self._finding_json(finding) for finding in outcome.findings],
                }
                for outcome in self.outcomes
            ],
        }

    def _finding_json(self, finding: Finding) -> dict[str, Any]:
        return {
            "code": finding.kind.code,
            "level": finding.kind.level.value,
            "accepted": finding.kind.code in self.accepted,
            "where": finding.where,
            "what": finding.what,
            "remedy": finding.remedy,
        }

    def _lines(self) -> Iterator[str]:
        for outcome in self.outcomes:
            if not outcome.findings:
                yield f"{outcome.level.value:<10}{outcome.about}"
            for finding in outcome.findings:
                is_accepted = finding.kind.code in self.accepted
                state = _ACCEPTED if is_accepted else finding.kind.level.value
                yield f"{state:<10}{finding.kind.code}: {finding.where}"
                # Some hold statements to be run, each in a line of its own.
                lines = finding.what.expandtabs(4).splitlines()
                yield from (f"{_INDENT}{line}" for line in lines)
                if not is_accepted:
                    yield f"{_INDENT}→ {finding.remedy}"
