"""What a run tells while it works. Names and fields are those of the HTTP interface.

An event is a small immutable struct, encoded once: the same bytes serve every reader.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from licet.agent.output import Metrics, RunRequirement, ToolExecution


class AgentEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """Common fields. ``created_at`` is epoch seconds; the event's name is encoded as ``event``."""

    created_at: int
    agent_id: str
    agent_name: str
    run_id: str
    session_id: str
    nested_depth: int

    @property
    def event(self) -> str:
        """The event's name on the wire, e.g. ``RunStarted``."""
        return str(self.__struct_config__.tag)


class RunStarted(AgentEvent, frozen=True, tag="RunStarted"):
    """The run was stored and begins."""

    model: str
    model_provider: str


class RunContent(AgentEvent, frozen=True, tag="RunContent"):
    """A piece of the answer: ``content`` is what is new."""

    content: str
    content_type: str = "str"


class ReasoningContentDelta(AgentEvent, frozen=True, tag="ReasoningContentDelta"):
    """A piece of the model's published reasoning."""

    reasoning_content: str


class RunContentCompleted(AgentEvent, frozen=True, tag="RunContentCompleted"):
    """No more pieces of the answer follow."""


class ModelRequestStarted(AgentEvent, frozen=True, tag="ModelRequestStarted"):
    """A model was asked.

    ``supersedes_from_index``: it is asked once more, since the process that asked before broke
    down; what it had shown, the events from that index up to this one, does not count.
    """

    model: str
    model_provider: str
    supersedes_from_index: int | None = None


class ModelRequestCompleted(AgentEvent, frozen=True, tag="ModelRequestCompleted"):
    """A model answered a turn. Times are seconds."""

    model: str
    model_provider: str
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read_tokens: int = 0
    time_to_first_token: float | None = None


class ToolCallStarted(AgentEvent, frozen=True, tag="ToolCallStarted"):
    """A tool begins."""

    tool: ToolExecution


class ToolCallCompleted(AgentEvent, frozen=True, tag="ToolCallCompleted"):
    """A tool ended, well or badly; ``content`` says it in a line."""

    tool: ToolExecution
    content: str


class ToolCallError(AgentEvent, frozen=True, tag="ToolCallError"):
    """The tool that just ended had failed."""

    tool: ToolExecution
    error: str


class RunCompleted(AgentEvent, frozen=True, tag="RunCompleted"):
    """The run ended well and is stored. ``content`` is the whole answer."""

    content: Any
    content_type: str
    metrics: Metrics
    session_state: dict[str, Any]
    reasoning_content: str | None = None
    metadata: dict[str, Any] | None = None


class RunError(AgentEvent, frozen=True, tag="RunError"):
    """The run failed and is stored; ``content`` says why, ``error_type`` is a stable code."""

    content: str
    error_type: str


class RunPaused(AgentEvent, frozen=True, tag="RunPaused"):
    """The run waits for people, and is stored. ``tools`` are the calls that it waits with."""

    content: str
    tools: tuple[ToolExecution, ...]
    requirements: tuple[RunRequirement, ...]


class RunContinued(AgentEvent, frozen=True, tag="RunContinued"):
    """What the run waited for was decided, and it goes on."""


class RunCancelled(AgentEvent, frozen=True, tag="RunCancelled"):
    """The run was stopped. ``content`` is what the answer had reached."""

    content: str
    reason: str


Emit = Callable[[AgentEvent], None]
"""Takes an event as it happens. Called on the event loop; must not block."""
