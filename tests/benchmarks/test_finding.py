from __future__ import annotations

import pytest

from benchmarks.finding import OURS, PEER, Finding, Must, in_turn, percentile


def finding(*musts: Must) -> Finding:
    """Ours was four times, twice and ten times what the peer was."""
    return Finding(
        what="runs", unit="a second", figures={OURS: [40, 4, 20], PEER: [10, 2, 2]}, musts=musts
    )


def test_a_ratio_is_that_of_neighbours_in_time() -> None:
    # The ratio of the medians would be 10.
    assert finding().ratio(PEER) == (4, 2, 10)


def test_sides_take_turns_after_a_round_that_does_not_count() -> None:
    asked: list[str] = []

    def side(name: str) -> int:
        asked.append(name)
        return len(asked)

    found = in_turn({"a": lambda: side("a"), "b": lambda: side("b")}, rounds=2)
    assert asked == ["a", "b"] * 3
    assert found == {"a": [3, 5], "b": [4, 6]}


@pytest.mark.parametrize(
    ("must", "missed"),
    [
        (Must(beside=PEER, at_least=4), False),
        (Must(beside=PEER, at_least=4.1), True),
        (Must(beside=PEER, at_most=4), False),
        (Must(beside=PEER, at_most=3.9), True),
        (Must(at_least=20), False),
        (Must(at_most=19), True),
        (Must(at_most=0), True),
        (Must(beside="somebody who was not measured", at_least=1), False),
    ],
    ids=str,
)
def test_a_bound_is_missed_by_what_is_beyond_it(must: Must, *, missed: bool) -> None:
    assert finding(must).missed == ((must,) if missed else ())


@pytest.mark.parametrize(("part", "value"), [(0, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1, 100)])
def test_a_percentile_is_one_of_the_values(part: float, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), part) == value
