from __future__ import annotations

import pytest

from licet.doctor.finding import Finding, Kind, Level, Outcome


def finding(level: Level) -> Finding:
    return Finding(kind=Kind("code", level), where="here", what="wrong", remedy="mend it")


@pytest.mark.parametrize(
    ("levels", "worst"),
    [
        ([], Level.OK),
        ([Level.WARNING], Level.WARNING),
        ([Level.PROBLEM, Level.WARNING], Level.PROBLEM),
        ([Level.WARNING, Level.PROBLEM], Level.PROBLEM),
    ],
)
def test_an_outcome_is_as_bad_as_its_worst_finding(levels: list[Level], worst: Level) -> None:
    assert Outcome("it", [finding(level) for level in levels]).level is worst
