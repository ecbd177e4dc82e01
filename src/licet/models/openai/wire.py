"""The answers of OpenAI chat completions, as far as they are read. Unknown members are ignored.

One family of shapes serves streamed chunks (``delta``) and plain responses (``message``).
"""

from __future__ import annotations

from typing import Any

import msgspec

from licet.models.message import Usage


class FunctionPart(msgspec.Struct, gc=False):
    """What a tool call calls, or a piece of it. Some servers send ``arguments`` as an object."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class ToolCallPart(msgspec.Struct, gc=False):
    """A tool call, or a piece of it."""

    index: int | None = None
    id: str | None = None
    function: FunctionPart | None = None


class ContentPart(msgspec.Struct, gc=False):
    """A part of a message whose content is a list; ``thinking`` holds such parts again."""

    type: str = ""
    text: str | None = None
    thinking: list[ContentPart] | str | None = None


class MessagePart(msgspec.Struct, gc=False):
    """A message, or a piece of it."""

    content: str | list[ContentPart] | None = None
    tool_calls: list[ToolCallPart] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class Choice(msgspec.Struct, gc=False):
    """One of the answers; only the first is read."""

    index: int = 0
    delta: MessagePart | None = None
    message: MessagePart | None = None
    finish_reason: str | None = None


class PromptDetails(msgspec.Struct, gc=False):
    """Of which kinds the prompt's tokens are."""

    cached_tokens: int | None = None


class CompletionDetails(msgspec.Struct, gc=False):
    """Of which kinds the answer's tokens are."""

    reasoning_tokens: int | None = None


class UsagePart(msgspec.Struct, gc=False):
    """Token counts on the wire."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None

    def usage(self) -> Usage:
        """The counts in our own names; what the provider left out is 0."""
        prompt, completion = self.prompt_tokens or 0, self.completion_tokens or 0
        cached = self.prompt_cache_hit_tokens
        if self.prompt_tokens_details is not None:
            cached = self.prompt_tokens_details.cached_tokens or cached
        details = self.completion_tokens_details
        return Usage(
            input_tokens=prompt,
            output_tokens=completion,
            total_tokens=self.total_tokens or prompt + completion,
            reasoning_tokens=(details.reasoning_tokens or 0) if details is not None else 0,
            cache_read_tokens=cached or 0,
        )


class Completion(msgspec.Struct, gc=False):
    """A chunk of a stream, or a whole response. ``error`` differs from server to server."""

    choices: list[Choice] | None = None
    usage: UsagePart | None = None
    error: Any = None
