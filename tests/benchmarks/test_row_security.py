from __future__ import annotations

import asyncio

from benchmarks.suites.row_security import compared, two_sides


def test_both_sides_do_the_same_calls() -> None:
    with two_sides() as sides:
        found = asyncio.run(compared(sides, rounds=2, owners=3, sessions=2, questions=2))
    assert [len(costs) for costs in found] == [2, 2]
    assert len({frozenset(costs) for side in found for costs in side}) == 1
    assert all(cost > 0 for side in found for costs in side for cost in costs.values())
