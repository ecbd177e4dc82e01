"""Results: the findings as a table, on the screen and in ``RESULTS.md``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.finding import OURS, PEER, Finding, Spread

_HEAD = ("what", "AgentOS", "limit", "licet", "÷ AgentOS", "÷ limit", "must", "met")
_NONE = "–"
_INTRODUCTION = """\
Written by the command, not by hand; what is measured, and how, is in [README.md](README.md). Each
figure is the median of the rounds; each ratio the median of the rounds' ratios, with the lowest and
the highest of them."""


@dataclass(slots=True)
class Results:
    """What all suites have found.

    Args:
        command: by which they were run.
        date: of the day.
        machine: on which.
        versions: of each side.
    """

    command: str
    date: str
    machine: str
    versions: Mapping[str, str]
    findings: list[Finding] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def all_is_well(self) -> bool:
        """Whether no suite has failed, and nothing that must hold was missed."""
        return not self.failures and not any(finding.missed for finding in self.findings)

    def markdown(self, notes: str) -> str:
        """The file, with what somebody has to say about the figures at its end."""
        lines = [
            "# Results",
            "",
            _INTRODUCTION,
            "",
            f"* Command: `{self.command}`",
            f"* Date: {self.date}",
            f"* Machine: {self.machine}",
            *(f"* {side}: {said}" for side, said in self.versions.items()),
            "",
            *table(self.findings),
            "",
            *(f"**The suite `{name}` failed**: {why}\n" for name, why in self.failures.items()),
        ]
        return "\n".join(lines).rstrip() + "\n" + (f"\n{notes.strip()}\n" if notes else "")


def table(findings: Sequence[Finding]) -> list[str]:
    """The lines of a table in Markdown."""
    rows = [row for finding in findings for row in _rows(finding)]
    return [_line(_HEAD), _line(["---"] * len(_HEAD)), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rows(finding: Finding) -> Iterator[Sequence[str]]:
    """One row; and one more for each further side that ours is set beside."""
    limits: list[str | None] = [*(s for s in finding.figures if s not in {OURS, PEER})]
    first, *more = limits or [None]
    met = _NONE
    if any(finding.value(must) is not None for must in finding.musts):
        met = "**no**" if finding.missed else "yes"
    yield (
        f"{finding.what}, {finding.unit}",
        _figure(finding, PEER),
        _limit(finding, first),
        _figure(finding, OURS),
        _ratio(finding, PEER),
        _ratio(finding, first),
        "; ".join(map(str, finding.musts)) or _NONE,
        met,
    )
    for side in more:
        yield ("", "", _limit(finding, side), "", "", _ratio(finding, side), "", "")


def _figure(finding: Finding, side: str | None) -> str:
    if side is None or side not in finding.figures:
        return _NONE
    return number(finding.spread(side).median)


def _limit(finding: Finding, side: str | None) -> str:
    return _NONE if side is None else f"{_figure(finding, side)} ({side})"


def _ratio(finding: Finding, side: str | None) -> str:
    if side is None or not {OURS, side} <= set(finding.figures):
        return _NONE
    try:
        ratio = finding.ratio(side)
    except ZeroDivisionError:
        return _NONE
    return _spread(ratio)


def _spread(spread: Spread) -> str:
    return f"{number(spread.median)} ({number(spread.lowest)} to {number(spread.highest)})"


def number(value: float) -> str:
    """A number with as many digits as it deserves: three, or all before its point."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")
