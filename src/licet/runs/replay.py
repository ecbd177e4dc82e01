"""Replay: the events of a run, made of what it is stored as."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from licet.agent.events import AgentEvent
from licet.agent.output import Metrics, RunOutput, ToolExecution
from licet.agent.telling import Teller
from licet.db.records import RunStatus
from licet.db.run_states import AT_REST


class _Asked(NamedTuple):
    """The model that the run was worked on with."""

    id: str
    provider: str


def replay(run: RunOutput) -> list[AgentEvent]:
    """What a run tells, as far as it can be said of what is stored.

    That it was started, each of its tools, and how it ended, or what it waits with; of a run at
    work, what is known. The pieces of the answer are not among it: ``RunCompleted`` has the whole.
    What is told of a run while it works is how that begins which is told of it later.
    """
    if run.status is RunStatus.PENDING:
        return []
    events: list[AgentEvent] = []
    at = float(run.created_at)
    tell = _teller(run, events, lambda: at)
    tell.run_started()
    for tool in run.tools:
        if tool.metrics is None and tool.waits_for is not None:
            # It waits, or was never made here.
            continue
        at = float(tool.created_at)
        tell.tool_started(_begun(tool))
        at += (tool.metrics or {}).get("duration", 0.0)
        tell.tool_ended(tool)
    return events + ending(run, not_before=at)


def ending(run: RunOutput, *, not_before: float = 0.0) -> list[AgentEvent]:
    """What a run tells when it ends or pauses; else nothing. ``not_before``: epoch seconds."""
    events: list[AgentEvent] = []
    at = max(not_before, run.created_at + (run.metrics or Metrics()).duration)
    tell = _teller(run, events, lambda: at)
    if run.status in {RunStatus.COMPLETED, RunStatus.PAUSED}:
        tell.content_completed()
    if run.status in AT_REST:
        tell.run_ended(run)
    return events


def _teller(run: RunOutput, events: list[AgentEvent], now: Callable[[], float]) -> Teller:
    asked = _Asked(run.model, run.model_provider)
    return Teller(run, model=asked, emit=events.append, now=now)


def _begun(tool: ToolExecution) -> ToolExecution:
    return msgspec.structs.replace(tool, result=None, tool_call_error=None, metrics=None)
