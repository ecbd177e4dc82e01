"""What a run comes to: RunOutput, which is the answer, the stored row and the JSON in one."""

from __future__ import annotations

from typing import Any

import msgspec

from licet.db.records import RunStatus
from licet.models.message import Image, Message, TextFile, Usage
from licet.tools.requirement import Wait


class UserField(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a call waits for. ``field_type`` is that of its JSON schema."""

    name: str
    field_type: str
    description: str | None = None
    value: Any = None


class ToolExecution(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a tool. Times are epoch seconds, ``duration`` seconds.

    The fields from ``requires_confirmation`` on say what it waits for before it is made, and what
    was decided; ``metrics`` is None where it was never made here.
    """

    tool_call_id: str
    tool_name: str
    tool_args: dict[str, Any]
    tool_call_error: bool | None = None
    result: str | None = None
    metrics: dict[str, float] | None = None
    stop_after_tool_call: bool = False
    created_at: int
    requires_confirmation: bool | None = None
    confirmed: bool | None = None
    confirmation_note: str | None = None
    requires_user_input: bool | None = None
    user_input_schema: tuple[UserField, ...] | None = None
    answered: bool | None = None
    external_execution_required: bool | None = None
    approval_type: str | None = None
    approval_id: str | None = None

    @property
    def waits_for(self) -> Wait | None:
        """What its tool asks for before a call; None: nothing."""
        if self.approval_type is not None:
            return Wait.APPROVAL
        if self.requires_confirmation:
            return Wait.CONFIRMATION
        if self.requires_user_input:
            return Wait.USER_INPUT
        return Wait.EXTERNAL_EXECUTION if self.external_execution_required else None

    @property
    def undecided(self) -> bool:
        """Whether it waits still."""
        is_decided = self.result is not None or self.confirmed is not None or self.answered
        return self.waits_for is not None and not is_decided


class RunRequirement(msgspec.Struct, frozen=True, kw_only=True):
    """A call that waits, as today's clients ask about it. ``created_at`` is ISO 8601."""

    id: str
    created_at: str
    tool_execution: ToolExecution


class Metrics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens and times of a run. Times are seconds."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read_tokens: int = 0
    time_to_first_token: float | None = None
    duration: float = 0.0

    @property
    def usage(self) -> Usage:
        """The tokens."""
        return Usage(
            self.input_tokens,
            self.output_tokens,
            self.total_tokens,
            self.reasoning_tokens,
            self.cache_read_tokens,
        )

    @classmethod
    def of(cls, usage: Usage, *, duration: float, first_token: float | None) -> Metrics:
        """Metrics from the usage that the model reported and the times that were measured."""
        return cls(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            total_tokens=usage.total_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            time_to_first_token=first_token,
            duration=duration,
        )


class RunInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the run was asked."""

    input_content: str
    images: tuple[Image, ...] = ()
    files: tuple[TextFile, ...] = ()


class RunOutput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run, at whatever stage. ``created_at`` is epoch seconds.

    ``content`` is text, or the object that an ``output_schema`` asked for. ``messages`` are the
    run's own: neither the system message nor what history added to the model's context.
    ``cancellation_reason`` says why a run was stopped before its end. ``request_id`` is that of the
    HTTP request that started it. ``leg`` counts from 0 how often it went on after a pause;
    ``next_event_index`` is the index that the first event of the next leg has.
    """

    run_id: str
    session_id: str
    agent_id: str
    agent_name: str
    status: RunStatus
    created_at: int
    input: RunInput
    user_id: str | None = None
    request_id: str | None = None
    content: Any = None
    content_type: str = "str"
    model: str = ""
    model_provider: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[ToolExecution, ...] = ()
    metrics: Metrics | None = None
    session_state: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    reasoning_content: str | None = None
    error_type: str | None = None
    cancellation_reason: str | None = None
    leg: int = 0
    next_event_index: int = 0

    def to_json(self) -> bytes:
        """The run as the HTTP interface and the database hold it: UTF-8 JSON, nulls omitted."""
        return _encoder.encode(self)

    @classmethod
    def from_json(cls, body: bytes) -> RunOutput:
        """The run that ``to_json`` wrote."""
        return _decoder.decode(body)


class StoredMessages(msgspec.Struct):
    """Only the messages of a stored run: all that history needs of it."""

    messages: tuple[Message, ...] = ()


def plain(value: Any) -> Any:
    """A JSON form for values that msgspec does not know: pydantic models, else their text."""
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)


_encoder = msgspec.json.Encoder(enc_hook=plain)
_decoder = msgspec.json.Decoder(RunOutput)
