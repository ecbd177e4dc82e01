"""The spans of a run: the run, its model calls, its tool calls."""

from __future__ import annotations

from contextvars import Token
from types import TracebackType
from typing import Self

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Tracer, format_trace_id
from opentelemetry.util.types import AttributeValue

from licet.agent.observer import ObservedAgent
from licet.agent.output import RunOutput
from licet.agent.run_request import RunRequest
from licet.agent.steps import ModelTurn
from licet.agent.telling import AskedModel
from licet.db.records import RunStatus
from licet.db.run_states import ENDED
from licet.log_context import TRACE_ID
from licet.models.message import Usage
from licet.telemetry import names
from licet.telemetry.meters import Meters
from licet.telemetry.principal import principal_attributes
from licet.telemetry.span import SpanObservation
from licet.tools.function import ToolResult

_TOOL_ERROR = "tool_error"


class RunSpan(SpanObservation):
    """A run, as far as this process works on it."""

    def __init__(
        self,
        tracer: Tracer,
        meters: Meters,
        *,
        agent: ObservedAgent,
        request: RunRequest,
        parent: Context | None,
    ) -> None:
        super().__init__(
            tracer,
            f"invoke_agent {agent.name}",
            attributes={
                names.OPERATION: "invoke_agent",
                names.AGENT_ID: agent.id,
                names.AGENT_NAME: agent.name,
                names.CONVERSATION_ID: request.session_id,
                names.RUN_ID: request.run_id,
                **({} if request.request_id is None else {names.REQUEST_ID: request.request_id}),
                **principal_attributes(request.principal),
            },
            parent=parent,
        )
        self._meters = meters
        self._agent_id = agent.id
        self._status: RunStatus | None = None
        self._trace: Token[str | None]

    def __enter__(self) -> Self:
        super().__enter__()
        self._trace = TRACE_ID.set(format_trace_id(self.span.get_span_context().trace_id))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        TRACE_ID.reset(self._trace)
        super().__exit__(kind, error, traceback)

    def came_to(self, outcome: RunOutput) -> None:
        """How it ended, or that it was left as it is."""
        self._status = outcome.status
        self.span.set_attribute(names.RUN_STATUS, outcome.status.value)
        if outcome.model_provider:
            self.span.set_attribute(names.PROVIDER, provider_name(outcome.model_provider))
        if outcome.status is RunStatus.ERROR:
            self.failed(outcome.error_type or "error")
        if outcome.metrics is not None:
            self.span.set_attribute(names.INPUT_TOKENS, outcome.metrics.input_tokens)
            self.span.set_attribute(names.OUTPUT_TOKENS, outcome.metrics.output_tokens)

    def ended(self, seconds: float) -> None:
        """Count it, once: by the process in which it ended."""
        if self._status in ENDED:
            self._meters.run_ended(self._agent_id, self._status.value, seconds=seconds)


class ModelCallSpan(SpanObservation):
    """A model call, with all that was tried again."""

    def __init__(
        self, tracer: Tracer, meters: Meters, model: AskedModel, *, streamed: bool
    ) -> None:
        self._common: dict[str, AttributeValue] = {
            names.OPERATION: "chat",
            names.PROVIDER: provider_name(model.provider),
            names.REQUEST_MODEL: model.id,
        }
        super().__init__(
            tracer,
            f"chat {model.id}",
            kind=SpanKind.CLIENT,
            attributes={**self._common, **({names.REQUEST_STREAM: True} if streamed else {})},
        )
        self._meters = meters
        self._usage: Usage | None = None

    def came_to(self, outcome: ModelTurn) -> None:
        """What it has used, and why it stopped."""
        response, self._usage = outcome.response, outcome.response.usage
        told: dict[str, AttributeValue] = {
            names.INPUT_TOKENS: response.usage.input_tokens,
            names.OUTPUT_TOKENS: response.usage.output_tokens,
        }
        if response.usage.cache_read_tokens:
            told[names.CACHE_READ_TOKENS] = response.usage.cache_read_tokens
        if response.usage.reasoning_tokens:
            told[names.REASONING_TOKENS] = response.usage.reasoning_tokens
        if response.finish_reason is not None:
            told[names.FINISH_REASONS] = (response.finish_reason,)
        if outcome.first_token_seconds is not None:
            told[names.FIRST_CHUNK_SECONDS] = outcome.first_token_seconds
        self.span.set_attributes(told)

    def ended(self, seconds: float) -> None:
        """Count it, and its tokens."""
        self._meters.model_called(
            self._common, seconds=seconds, error_type=self.error_type, usage=self._usage
        )


class ToolCallSpan(SpanObservation):
    """A tool call."""

    def __init__(self, tracer: Tracer, meters: Meters, name: str, *, call_id: str) -> None:
        super().__init__(
            tracer,
            f"execute_tool {name}",
            attributes={
                names.OPERATION: "execute_tool",
                names.TOOL_NAME: name,
                names.TOOL_TYPE: "function",
                names.TOOL_CALL_ID: call_id,
            },
        )
        self._meters = meters
        self._name = name

    def came_to(self, outcome: ToolResult) -> None:
        """Whether it failed; its result is nobody's business here."""
        if outcome.error:
            self.failed(_TOOL_ERROR)

    def ended(self, seconds: float) -> None:
        """Count it."""
        self._meters.tool_called(self._name, seconds=seconds, error_type=self.error_type)


def provider_name(provider: str) -> str:
    """A provider as the conventions write it: ``openai``."""
    return provider.lower()
