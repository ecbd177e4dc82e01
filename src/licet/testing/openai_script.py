"""What a scripted OpenAI server answers, and how that looks on the wire."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from licet.errors import ConfigurationError

Fault = Literal["cut_off", "disconnect", "error_event", "hang", "malformed"]
"""What goes wrong within an answer.

``cut_off`` ends the stream properly but too early, ``disconnect`` breaks the connection,
``error_event`` sends an error object, ``hang`` waits until the client leaves, ``malformed`` sends
a chunk that is not JSON.
"""

_COMPLETION_ID = "chatcmpl-scripted"
_CREATED = 1_700_000_000


class ScriptedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call. ``arguments`` is a JSON value, or text that is sent as it is."""

    name: str
    arguments: Any = msgspec.field(default_factory=dict)
    id: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer, streamed or plain as the client asks for it.

    The text is streamed in ``tokens`` pieces of about the same size, else word by word, with
    ``pause_seconds`` between the chunks. ``fault`` strikes when ``fault_after`` chunks were sent;
    in a plain answer at once. With a ``status`` other than 200 the answer is an error with the
    message ``error``. ``headers`` are added, such as ``retry-after``.
    """

    text: str = ""
    tokens: int | None = None
    reasoning: str = ""
    refusal: str | None = None
    tool_calls: tuple[ScriptedCall, ...] = ()
    finish_reason: str | None = None
    input_tokens: int = 10
    output_tokens: int | None = None
    pause_seconds: float = 0.0
    status: int = 200
    error: str = "scripted failure"
    error_code: str | int | None = None
    headers: dict[str, str] = {}
    fault: Fault | None = None
    fault_after: int = 0

    def pieces(self) -> list[str]:
        """The text, cut."""
        if self.tokens is None:
            return re.findall(r"\s*\S+|\s+$", self.text)
        size, longer = divmod(len(self.text), self.tokens)
        pieces, begin = [], 0
        for place in range(self.tokens):
            end = begin + size + (place < longer)
            pieces.append(self.text[begin:end])
            begin = end
        return pieces

    def calls(self) -> list[dict[str, Any]]:
        """The tool calls as a plain response holds them."""
        return [
            {
                "id": call.id or f"call_{place}",
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": (
                        call.arguments
                        if isinstance(call.arguments, str)
                        else msgspec.json.encode(call.arguments).decode()
                    ),
                },
            }
            for place, call in enumerate(self.tool_calls)
        ]

    def usage(self) -> dict[str, int]:
        """The token counts; the answer's default to the number of its pieces."""
        output = len(self.pieces()) if self.output_tokens is None else self.output_tokens
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": output,
            "total_tokens": self.input_tokens + output,
        }

    def ending(self) -> str:
        """The finish reason."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers to a last user message that contains ``match``, in any case.

    The first answer is for the user's message itself, the next for the results of the tools that
    the first one called, and so on; the last is repeated.
    """

    match: str
    answers: tuple[Answer, ...]


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a server says.

    It is the answer of the first rule that matches; else the next of ``sequence``, in the order in
    which requests arrive; else ``otherwise``.
    """

    rules: tuple[Rule, ...] = ()
    sequence: tuple[Answer, ...] = ()
    otherwise: Answer = Answer(text="Scripted answer.")

    def rule_answer(self, messages: Sequence[tuple[str, str]]) -> Answer | None:
        """The answer of a rule to a conversation of (role, text)."""
        last_user = max(
            (place for place, (role, _) in enumerate(messages) if role == "user"), default=None
        )
        if last_user is None:
            return None
        said = messages[last_user][1].lower()
        turn = sum(role == "assistant" for role, _ in messages[last_user:])
        for rule in self.rules:
            if rule.answers and rule.match.lower() in said:
                return rule.answers[min(turn, len(rule.answers) - 1)]
        return None


def load_script(path: Path) -> Script:
    """Read a script from JSON: the members of ``Script``, ``Rule`` and ``Answer``.

    Raises:
        ConfigurationError: the file is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Script)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{str(path)!r} is no script: {error}") from error


def numbered_text(tokens: int) -> str:
    """A text of as many words, for measurements."""
    return " ".join(f"word{place}" for place in range(tokens))


def plain_response(answer: Answer, model: str) -> bytes:
    """The body of a response without streaming."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.refusal is not None:
        message["refusal"] = answer.refusal
    if answer.tool_calls:
        message["tool_calls"] = answer.calls()
    choice = {"index": 0, "message": message, "finish_reason": answer.ending()}
    return msgspec.json.encode(
        {
            "id": _COMPLETION_ID,
            "object": "chat.completion",
            "created": _CREATED,
            "model": model,
            "choices": [choice],
            "usage": answer.usage(),
        }
    )


def stream_events(answer: Answer, model: str) -> tuple[bytes, ...]:
    """The events of a streamed response."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if answer.reasoning:
        deltas.append({"reasoning_content": answer.reasoning})
    deltas.extend({"content": piece} for piece in answer.pieces())
    if answer.refusal is not None:
        deltas.append({"refusal": answer.refusal})
    for index, call in enumerate(answer.calls()):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        half = len(arguments) // 2
        deltas.append(
            {"tool_calls": [{**call, "index": index, "function": {"name": name, "arguments": ""}}]}
        )
        deltas.extend(
            {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
            for part in (arguments[:half], arguments[half:])
        )
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": answer.ending()}]})
    chunks.append({"choices": [], "usage": answer.usage()})
    head: dict[str, Any] = {
        "id": _COMPLETION_ID,
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": model,
    }
    encoded = [b"data: " + msgspec.json.encode({**head, **chunk}) + b"\n\n" for chunk in chunks]
    return (*encoded, b"data: [DONE]\n\n")


def error_response(message: str, code: str | int | None = None) -> bytes:
    """The body of an error."""
    return msgspec.json.encode(
        {"error": {"message": message, "type": "scripted_error", "code": code}}
    )
