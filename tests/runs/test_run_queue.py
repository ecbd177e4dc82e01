from __future__ import annotations

from typing import Any

import pytest

from licet.db.work_records import QueueLimits
from licet.errors import ConfigurationError
from licet.runs.run_queue import RunQueue


def test_what_holds_over_all_processes_is_what_the_database_is_asked_for() -> None:
    queue = RunQueue(per_process=3, per_principal=4, overall=5, waiting=6)
    assert queue.limits == QueueLimits(per_principal=4, overall=5, waiting=6)


def test_by_default_a_process_has_a_limit_and_so_has_the_queue() -> None:
    queue = RunQueue()
    assert queue.per_process > 0
    assert (queue.limits.per_principal, queue.limits.overall) == (None, None)
    assert queue.limits.waiting is not None


@pytest.mark.parametrize("name", ["per_process", "per_principal", "overall", "waiting"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_that_lets_nothing_through_is_refused_by_its_name(name: str, value: int) -> None:
    limits: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=name):
        RunQueue(**limits)
