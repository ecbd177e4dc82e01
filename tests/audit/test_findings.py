from __future__ import annotations

import pytest

from licet.audit.findings import Finding, Report


def report(*added: tuple[str, str, str | None, int | None, int | None]) -> list[Finding]:
    made = Report()
    for each in added:
        made.add(*each)
    return made.findings


def test_nothing_found_is_sound() -> None:
    assert Report().is_sound
    made = Report()
    made.add("cut_off", "the end is missing")
    assert not made.is_sound
    assert made.findings == [Finding("cut_off", "the end is missing")]


def test_what_goes_on_is_one_finding() -> None:
    added = [("changed_record", "t", "w", n, n) for n in range(3, 9)]
    assert report(*added) == [Finding("changed_record", "t", "w", 3, 8)]


def test_two_sorts_that_go_on_side_by_side_are_two_findings() -> None:
    added = []
    for n in range(1, 50):
        added += [
            ("changed_record", "t", "w", n, n),
            ("changed_batch", "u", "w", n * 2 - 1, n * 2),
        ]
    assert report(*added) == [
        Finding("changed_record", "t", "w", 1, 49),
        Finding("changed_batch", "u", "w", 1, 98),
    ]


@pytest.mark.parametrize(
    "other",
    [
        ("changed_record", "t", "w", 6, 6),
        ("changed_record", "t", "w", 4, 4),
        ("changed_record", "t", "v", 5, 5),
        ("changed_record", "u", "w", 5, 5),
        ("changed_batch", "t", "w", 5, 5),
        ("changed_record", "t", "w", None, None),
    ],
)
def test_what_does_not_go_on_is_a_finding_of_its_own(
    other: tuple[str, str, str | None, int | None, int | None],
) -> None:
    first = ("changed_record", "t", "w", 4, 4)
    assert report(first, other) == [Finding(*first), Finding(*other)]


def test_without_numbers_nothing_goes_on() -> None:
    added = ("missing_writer", "the writer of number 2 is missing", None, None, None)
    assert len(report(added, added)) == 2
