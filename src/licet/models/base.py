"""The Model protocol: everything that the agent loop asks of a language model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from licet.models.message import Message, ToolCall, Usage

OnText = Callable[[str], None]
"""Receives each piece of text as it arrives. Called on the event loop; must not block."""


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A tool as a model sees it. ``parameters`` is a JSON schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """The JSON schema that an answer has to fit."""

    name: str
    schema: Mapping[str, Any]
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One turn: the conversation so far, what may be called, and the form of the answer."""

    messages: Sequence[Message]
    tools: Sequence[ToolSchema] = ()
    tool_choice: Literal["auto", "none"] = "auto"
    output_format: OutputFormat | None = None


class ModelResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A whole turn of a model. ``refusal`` is set when the model declined to answer."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    finish_reason: str | None = None
    refusal: str | None = None
    request_id: str | None = None


@runtime_checkable
class Model(Protocol):
    """A language model.

    Implementations are shared by concurrent runs and hold no state of a run. Cancelling the task
    that awaits ``respond`` aborts the call in flight.
    """

    @property
    def id(self) -> str:
        """The provider's name of the model, e.g. ``gpt-4o``."""

    @property
    def name(self) -> str:
        """The implementation's name, e.g. ``OpenAIChat``."""

    @property
    def provider(self) -> str:
        """Who serves it, e.g. ``OpenAI``."""

    async def respond(
        self,
        request: ModelRequest,
        *,
        on_text: OnText | None = None,
        on_reasoning: OnText | None = None,
    ) -> ModelResponse:
        """Answer one turn.

        With ``on_text`` the answer is streamed: each piece of text is handed over as it
        arrives, and the whole is returned at the end. Without it one plain response is asked for.

        Raises:
            ModelError: the provider could not answer, after the model's own retries.
        """

    async def aclose(self) -> None:
        """Give connections back. The model can be used again afterwards."""
