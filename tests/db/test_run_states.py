from __future__ import annotations

import itertools

import pytest

from licet.db import work_codec
from licet.db.records import RunStatus
from licet.db.run_states import (
    ENDED,
    FIRST,
    UNENDED,
    may_be_saved,
    may_follow,
    saved_from,
)

PENDING, RUNNING, PAUSED, COMPLETED, CANCELLED, ERROR = RunStatus
MOVES = {
    *((PENDING, after) for after in (RUNNING, CANCELLED, ERROR)),
    *((RUNNING, after) for after in (RUNNING, PAUSED, COMPLETED, CANCELLED, ERROR)),
    *((PAUSED, after) for after in (PENDING, RUNNING, CANCELLED, ERROR)),
}
UNSAVED = {(PAUSED, PENDING), (PAUSED, RUNNING)}
"""What has paused goes on where somebody asks whether anything is undecided."""


@pytest.mark.parametrize(("before", "after"), list(itertools.product(RunStatus, repeat=2)))
def test_these_moves_there_are_and_no_others(before: RunStatus, after: RunStatus) -> None:
    assert may_follow(before, after) is ((before, after) in MOVES)
    assert may_be_saved(before, after) is ((before, after) in MOVES - UNSAVED)
    assert (before in saved_from(after)) is ((before, after) in MOVES - UNSAVED)


def test_what_a_state_is_saved_from_stands_in_one_order() -> None:
    assert saved_from(ERROR) == (PAUSED, PENDING, RUNNING)
    assert saved_from(COMPLETED) == (RUNNING,)
    assert saved_from(PENDING) == ()


def test_every_state_is_reached_and_every_run_can_end() -> None:
    assert {COMPLETED, CANCELLED, ERROR} == ENDED
    assert {PENDING, RUNNING, PAUSED} == UNENDED
    assert {PENDING, RUNNING} == FIRST
    for status in RunStatus:
        assert status in FIRST or saved_from(status)
        assert status in ENDED or any(may_follow(status, ending) for ending in ENDED)


def test_the_indexes_hold_the_runs_that_have_not_ended() -> None:
    named = {status for status in RunStatus if f"'{status.value}'" in work_codec.UNENDED_SQL}
    assert named == UNENDED
