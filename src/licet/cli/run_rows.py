"""Runs as rows: many as a table, or one in full."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from licet.agent.output import RunOutput, ToolExecution
from licet.cli.dates import show_date
from licet.cli.duration import describe_seconds
from licet.db.records import RunHead, RunRecord, RunStatus
from licet.db.run_states import ENDED
from licet.os.views import PREVIEW_CHARS, without_nulls
from licet.runs.retrying import RETRY_OF

HEADINGS = (
    *("ID", "STATUS", "FOR", "AGENT", "USER", "SESSION"),
    *("BEGUN", "DURABLE", "EXECUTOR"),
)


def run_table(
    heads: Sequence[RunHead], *, living: Collection[str], now: float
) -> list[tuple[str, ...]]:
    """Many: rows under ``HEADINGS``.

    What has not ended says for how long it was asked for, and who works on it. ``living`` are the
    processes that may be at work; ``now`` is epoch seconds.
    """
    return [_cells(head, living, now) for head in heads]


def run_json(head: RunHead, *, db_id: str) -> dict[str, Any]:
    """One of many for programs. Times are epoch seconds."""
    return without_nulls(
        {
            "run_id": head.run_id,
            "status": head.status,
            "agent_id": head.component_id,
            "session_id": head.session_id,
            "user_id": head.user_id,
            "db_id": db_id,
            "durable": head.durable,
            "executor_id": head.executor_id,
            "created_at": head.created_at_us // 1_000_000,
            "updated_at": head.updated_at_us // 1_000_000,
        }
    )


def run_lines(run: RunRecord, *, place: str, living: Collection[str]) -> list[tuple[str, str]]:
    """One run: names and values, what it does not have left out. Not what was answered."""
    output = RunOutput.from_json(run.body)
    ended = run.status in ENDED
    retry_of = (output.metadata or {}).get(RETRY_OF)
    tokens = run.total_tokens
    lines = [
        ("run", run.run_id),
        ("status", run.status.value),
        ("agent", run.component_id),
        ("session", run.session_id),
        ("user", run.user_id or ""),
        ("owner", run.owner or "nobody"),
        ("in", place),
        ("begun", show_date(run.created_at_us)),
        ("ended" if ended else "last stored", show_date(run.updated_at_us)),
        ("executor", _executor(run.executor_id, run.status, living)),
        ("durable", "yes" if run.durable else "no"),
        ("retry of", "" if retry_of is None else str(retry_of)),
        ("request", output.request_id or ""),
        ("tokens", str(tokens) if tokens else ""),
        ("input", output.input.input_content[:PREVIEW_CHARS]),
        *(("tool", _tool(tool)) for tool in output.tools),
        ("error", _error(run.status, output)),
        ("reason", output.cancellation_reason or ""),
    ]
    return [(name, value) for name, value in lines if value]


def _cells(head: RunHead, living: Collection[str], now: float) -> tuple[str, ...]:
    ended = head.status in ENDED
    return (
        head.run_id,
        head.status.value,
        "" if ended else describe_seconds(max(0.0, now - head.created_at_us / 1_000_000)),
        head.component_id,
        head.user_id or "",
        head.session_id,
        show_date(head.created_at_us),
        "yes" if head.durable else "no",
        "" if ended else _executor(head.executor_id, head.status, living),
    )


def _executor(executor_id: str | None, status: RunStatus, living: Collection[str]) -> str:
    if executor_id is None:
        return "none yet" if status is RunStatus.PENDING else ""
    if status is RunStatus.RUNNING and executor_id not in living:
        return f"{executor_id} (has ended)"
    return executor_id


def _tool(tool: ToolExecution) -> str:
    seconds = (tool.metrics or {}).get("duration", 0.0)
    how = "failed" if tool.tool_call_error else "completed"
    return f"{tool.tool_name}: {how} in {seconds:.3f} s"


def _error(status: RunStatus, output: RunOutput) -> str:
    if status is not RunStatus.ERROR:
        return ""
    return f"{output.error_type or 'error'}: {output.content}"
