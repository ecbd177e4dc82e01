from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from licet.agent.output import RunInput, RunOutput
from licet.db.records import RunRecord, RunStatus
from licet.db.schedule_records import ScheduleRunRecord, ScheduleRunStatus
from licet.runs.schedule_outcome import as_its_run_stands
from tests.contract.rows import run
from tests.contract.schedule_rows import attempt, schedule

BEGUN = attempt(schedule(), at=1_000_000)
ENDED_US = 2_000_000


def of(status: RunStatus, **values: Any) -> RunRecord:
    output = RunOutput(
        run_id="r",
        session_id="s",
        agent_id="a",
        agent_name="A",
        status=status,
        created_at=1,
        input=RunInput("hi"),
        **values,
    )
    body = output.to_json()
    return replace(run(), status=status, body=body, updated_at_us=ENDED_US)


def stands(record: RunRecord, timeout_seconds: int = 60) -> ScheduleRunRecord:
    return as_its_run_stands(BEGUN, record, timeout_seconds=timeout_seconds)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (RunStatus.PENDING, "running"),
        (RunStatus.RUNNING, "running"),
        (RunStatus.PAUSED, "paused"),
    ],
)
def test_what_has_not_ended_has_no_end(status: RunStatus, expected: str) -> None:
    found = stands(of(status))
    assert found == replace(BEGUN, status=ScheduleRunStatus(expected))
    assert found.completed_at_us is None


def test_a_run_that_completed_is_a_success_since_its_end() -> None:
    found = stands(of(RunStatus.COMPLETED, content="said"))
    assert found.status is ScheduleRunStatus.SUCCESS
    assert (found.status_code, found.error, found.completed_at_us) == (200, None, ENDED_US)


def test_a_run_that_failed_says_why() -> None:
    found = stands(of(RunStatus.ERROR, content="the model is away"))
    assert (found.status, found.error) == (ScheduleRunStatus.FAILED, "the model is away")


@pytest.mark.parametrize(
    ("timeout_seconds", "expected", "error"),
    [
        (2, ScheduleRunStatus.CANCELLED, "somebody asked"),
        (1, ScheduleRunStatus.FAILED, "The run was not done within 1 seconds"),
    ],
)
def test_a_cancelled_run_has_failed_where_its_time_was_over(
    timeout_seconds: int, expected: ScheduleRunStatus, error: str
) -> None:
    cancelled = of(RunStatus.CANCELLED, cancellation_reason="somebody asked")
    found = stands(cancelled, timeout_seconds)
    assert (found.status, found.error) == (expected, error)


@pytest.mark.parametrize("body", [b"junk", b"{}"])
def test_a_run_that_says_nothing_is_told_by_its_status(body: bytes) -> None:
    found = stands(replace(of(RunStatus.ERROR), body=body))
    assert found.error == "The run ended as ERROR"


def test_what_is_no_text_is_not_told() -> None:
    assert stands(of(RunStatus.ERROR, content={"a": 1})).error == "The run ended as ERROR"
