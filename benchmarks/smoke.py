"""``make bench-smoke``: within a minute, has something become much slower than it was?

Ratios to the limit, measured briefly, with bounds so far below what is usual that noise does not
decide; and counts of bytecodes, which have no noise (``hot_spots.py``). It says nothing about how
fast Licet is: that is ``make bench``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks import hot_spots
from benchmarks.finding import Finding, Must
from benchmarks.results import number
from benchmarks.stage import Conditions
from benchmarks.suites import audited, list_agents, streamed_runs, tokens

CONDITIONS = Conditions(seconds=0.6, rounds=3, scale=0.05)
LIST = Must(beside=list_agents.ROUTE, at_least=0.3)
STREAMED = Must(beside=streamed_runs.BY_EVENT, at_least=0.15)
AUDITED = Must(beside=audited.PUBLIC, at_least=0.55)
TOKENS = Must(beside=tokens.PYJWT, at_most=2.2)


def main() -> int:
    """Measure and print; 1 when something is much slower."""
    said = [*slower(list(findings())), *more_bytecodes()]
    for one in said:
        print(f"slower: {one}")
    return 1 if said else 0


def findings() -> Iterator[Finding]:
    """What is measured, each with the bound that it is held to here."""
    yield replace(list_agents.measure(CONDITIONS)[0], musts=(LIST,))
    yield replace(streamed_runs.measured(CONDITIONS, "SQLite"), musts=(STREAMED,))
    yield replace(audited.measure(CONDITIONS)[0], musts=(AUDITED,))
    yield replace(tokens.measure(CONDITIONS)[0], musts=(TOKENS,))


def slower(found: Sequence[Finding]) -> list[str]:
    """What is beyond its bound, a sentence each. Every ratio is printed."""
    said = []
    for finding in found:
        for must in finding.musts:
            value = finding.value(must)
            assert value is not None, finding
            print(f"{finding.what}: {number(value)} × {must.beside} ({must} is wanted)")
            if not must.holds(value):
                said.append(f"{finding.what}: {number(value)}, and not {must}")
    return said


def more_bytecodes() -> list[str]:
    """What executes more bytecodes than it did, a sentence each. Every count is printed."""
    found = hot_spots.counts()
    for name, count in found.items():
        print(f"{name}: {count} bytecodes")
    known = hot_spots.baselines()
    if hot_spots.python() not in known:
        print(f"no bytecodes are known of Python {hot_spots.python()}; --write writes them down")
        return []
    return hot_spots.regressions(found, known[hot_spots.python()])


if __name__ == "__main__":
    sys.exit(main())
