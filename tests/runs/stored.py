"""Runs as they are stored, for tests."""

from __future__ import annotations

from typing import Any

from licet.agent.output import Metrics, RunInput, RunOutput, ToolExecution
from licet.db.records import RunRecord, RunStatus


def tool(name: str, *, result: str = "42", error: bool = False) -> ToolExecution:
    """A call that has ended, a quarter of a second after it began."""
    return ToolExecution(
        tool_call_id=f"call-{name}",
        tool_name=name,
        tool_args={"n": 1},
        tool_call_error=error,
        result=result,
        metrics={"start_time": 12.0, "end_time": 12.25, "duration": 0.25},
        created_at=12,
    )


def output(status: RunStatus, **values: Any) -> RunOutput:
    """A run of the model ``m``, which took three seconds."""
    usual: dict[str, Any] = {
        "run_id": "r",
        "session_id": "s",
        "agent_id": "a",
        "agent_name": "A",
        "created_at": 10,
        "input": RunInput("hi"),
        "model": "m",
        "model_provider": "p",
        "metrics": Metrics(total_tokens=5, duration=3.0),
    }
    return RunOutput(status=status, **{**usual, **values})


def record(status: RunStatus, **values: Any) -> RunRecord:
    """The same as a row. ``executor_id`` is the row's, everything else the output's."""
    executor_id = values.pop("executor_id", None)
    return RunRecord(
        owner="default|olga",
        session_id="s",
        run_id="r",
        component_id="a",
        status=status,
        body=output(status, **values).to_json(),
        created_at_us=10_000_000,
        updated_at_us=10_000_000,
        executor_id=executor_id,
    )
