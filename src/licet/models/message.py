"""What goes to a model and comes back: messages, tool calls, usage.

The shapes are those of OpenAI's chat completions where the two agree, so that they are encoded once
and serve as the provider's wire, the stored form and the HTTP interface alike.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Role = Literal["system", "user", "assistant", "tool"]


class FunctionCall(msgspec.Struct, frozen=True):
    """What a model wants called; ``arguments`` is JSON text exactly as the model wrote it."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True):
    """One call that a model asks for."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class Image(msgspec.Struct, frozen=True, omit_defaults=True):
    """A picture: base64 ``data``, or an https ``url`` that the *model's provider* fetches."""

    mime_type: str | None = None
    data: str | None = None
    url: str | None = None


class TextFile(msgspec.Struct, frozen=True):
    """A text document given as input."""

    name: str
    text: str
    mime_type: str = "text/plain"


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Token counts, as the provider reported them."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.total_tokens + other.total_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
        )


class Message(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One message of a conversation. ``created_at`` is epoch seconds."""

    role: Role
    id: str = ""
    content: str | None = None
    created_at: int = 0
    images: tuple[Image, ...] = ()
    files: tuple[TextFile, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    tool_name: str | None = None
    tool_call_error: bool = False
    reasoning_content: str | None = None
    from_history: bool = False
