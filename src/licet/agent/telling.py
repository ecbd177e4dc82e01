"""Teller: one place that turns what the loop does into events of the interface."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from msgspec.structs import replace

from licet.agent import events as ev
from licet.agent.output import Metrics, RunOutput, RunRequirement, ToolExecution
from licet.agent.steps import Superseded
from licet.db.records import RunStatus
from licet.models.message import Usage


class AskedModel(Protocol):
    """What is told of a model."""

    @property
    def id(self) -> str:
        """What the provider calls it."""

    @property
    def provider(self) -> str:
        """Who provides it."""


class Teller:
    """Emits the events of one run. Without a listener nothing is built at all.

    ``now`` gives epoch seconds. ``shown`` is how much text the listener has been given.
    """

    def __init__(
        self, run: RunOutput, *, model: AskedModel, emit: ev.Emit | None, now: Callable[[], float]
    ) -> None:
        self.now = now
        self.listening = emit is not None
        self.shown_chars = 0
        self.first_text_at: float | None = None
        self._emit = emit or _nobody
        self._model = model
        self._common: dict[str, Any] = {
            "agent_id": run.agent_id,
            "agent_name": run.agent_name,
            "run_id": run.run_id,
            "session_id": run.session_id,
            "nested_depth": 0,
        }
        # Told for every token: to replace what differs is several times faster than to make it.
        self._said = ev.RunContent(created_at=0, **self._common, content="")
        self._thought = ev.ReasoningContentDelta(created_at=0, **self._common, reasoning_content="")

    def _tell(self, kind: type[ev.AgentEvent], **fields: Any) -> None:
        if self.listening:
            self._emit(kind(created_at=int(self.now()), **self._common, **fields))

    def run_started(self) -> None:
        """The run is stored and begins."""
        self._tell(ev.RunStarted, model=self._model.id, model_provider=self._model.provider)

    def run_continued(self) -> None:
        """The run goes on after a pause."""
        self._tell(ev.RunContinued)

    def model_asked(self, superseded: Superseded | None = None) -> None:
        """A model call begins, perhaps in place of one that broke off."""
        self._tell(
            ev.ModelRequestStarted,
            model=self._model.id,
            model_provider=self._model.provider,
            supersedes_from_index=None if superseded is None else superseded.first_index,
        )

    def text(self, piece: str) -> None:
        """A piece of the answer arrived."""
        now = self.now()
        if self.first_text_at is None:
            self.first_text_at = now
        self.shown_chars += len(piece)
        if self.listening:
            self._emit(replace(self._said, created_at=int(now), content=piece))

    def reasoning(self, piece: str) -> None:
        """A piece of the model's published reasoning arrived."""
        if self.listening:
            now = int(self.now())
            self._emit(replace(self._thought, created_at=now, reasoning_content=piece))

    def model_answered(self, usage: Usage, *, first_token_seconds: float | None) -> None:
        """A model call ended."""
        self._tell(
            ev.ModelRequestCompleted,
            model=self._model.id,
            model_provider=self._model.provider,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            total_tokens=usage.total_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            time_to_first_token=first_token_seconds,
        )

    def tool_started(self, tool: ToolExecution) -> None:
        """A tool call begins."""
        self._tell(ev.ToolCallStarted, tool=tool)

    def tool_ended(self, tool: ToolExecution) -> None:
        """A tool call ended; a failed one is told twice, as the interface has it."""
        if not self.listening:
            return
        seconds = (tool.metrics or {}).get("duration", 0.0)
        how = "failed" if tool.tool_call_error else "completed"
        self._tell(
            ev.ToolCallCompleted, tool=tool, content=f"{tool.tool_name} {how} in {seconds:.3f} s."
        )
        if tool.tool_call_error:
            self._tell(ev.ToolCallError, tool=tool, error=tool.result or "")

    def content_completed(self) -> None:
        """No more of the answer follows."""
        self._tell(ev.RunContentCompleted)

    def run_ended(self, run: RunOutput) -> None:
        """The run ended, in whichever way, or paused; and is stored."""
        if run.status is RunStatus.PAUSED:
            self._run_paused(run)
        elif run.status is RunStatus.COMPLETED:
            self._run_completed(run)
        elif run.status is RunStatus.CANCELLED:
            self._run_cancelled(run)
        else:
            self._run_failed(run)

    def _run_paused(self, run: RunOutput) -> None:
        waiting = tuple(tool for tool in run.tools if tool.undecided)
        self._tell(
            ev.RunPaused,
            content=str(run.content or ""),
            tools=waiting,
            requirements=tuple(_required(tool) for tool in waiting),
        )

    def _run_completed(self, run: RunOutput) -> None:
        self._tell(
            ev.RunCompleted,
            content=run.content,
            content_type=run.content_type,
            metrics=run.metrics or Metrics(),
            session_state=run.session_state or {},
            reasoning_content=run.reasoning_content,
            metadata=run.metadata,
        )

    def _run_failed(self, run: RunOutput) -> None:
        self._tell(ev.RunError, content=str(run.content), error_type=run.error_type or "error")

    def _run_cancelled(self, run: RunOutput) -> None:
        reason = run.cancellation_reason or "cancelled"
        self._tell(ev.RunCancelled, content=str(run.content or ""), reason=reason)


def _required(tool: ToolExecution) -> RunRequirement:
    at = datetime.fromtimestamp(tool.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return RunRequirement(id=tool.tool_call_id, created_at=at, tool_execution=tool)


def _nobody(_event: ev.AgentEvent) -> None:
    """Nobody listens."""
