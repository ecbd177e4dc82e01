"""What came of a firing, told from its run: nothing is written twice while that goes on."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from licet.agent.output import RunOutput
from licet.db.records import RunRecord, RunStatus
from licet.db.schedule_records import ScheduleRunRecord, ScheduleRunStatus

_STATUS = {
    RunStatus.PENDING: ScheduleRunStatus.RUNNING,
    RunStatus.RUNNING: ScheduleRunStatus.RUNNING,
    RunStatus.PAUSED: ScheduleRunStatus.PAUSED,
    RunStatus.COMPLETED: ScheduleRunStatus.SUCCESS,
    RunStatus.ERROR: ScheduleRunStatus.FAILED,
    RunStatus.CANCELLED: ScheduleRunStatus.CANCELLED,
}
_ENDED = frozenset(
    (ScheduleRunStatus.SUCCESS, ScheduleRunStatus.FAILED, ScheduleRunStatus.CANCELLED)
)
_OK = 200


def as_its_run_stands(
    attempt: ScheduleRunRecord, run: RunRecord, *, timeout_seconds: int
) -> ScheduleRunRecord:
    """An attempt as its run stands now. One cancelled when its time was over has failed."""
    status, error = _STATUS[run.status], None
    if status is ScheduleRunStatus.FAILED:
        error = _said(run)
    elif status is ScheduleRunStatus.CANCELLED:
        error = _said(run)
        if run.updated_at_us >= deadline_us(attempt, timeout_seconds):
            status, error = ScheduleRunStatus.FAILED, timed_out(timeout_seconds)
    return replace(
        attempt,
        status=status,
        status_code=_OK if status is ScheduleRunStatus.SUCCESS else None,
        error=error,
        completed_at_us=run.updated_at_us if status in _ENDED else None,
    )


def deadline_us(attempt: ScheduleRunRecord, timeout_seconds: int) -> int:
    """When the time of an attempt is over, epoch microseconds."""
    return attempt.created_at_us + timeout_seconds * 1_000_000


def timed_out(timeout_seconds: int) -> str:
    """What is said of a run whose time was over."""
    return f"The run was not done within {timeout_seconds} seconds"


def _said(run: RunRecord) -> str:
    try:
        output = RunOutput.from_json(run.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return f"The run ended as {run.status}"
    said = output.cancellation_reason or output.content
    return said if isinstance(said, str) and said else f"The run ended as {run.status}"
