"""Decoding: one decoder for streamed chunks and plain responses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import msgspec

from licet.errors import ModelProtocolError
from licet.models.base import ModelResponse, OnText
from licet.models.growing_text import GrowingText, ToldText
from licet.models.openai.failure import Failures
from licet.models.openai.surrogates import SurrogateJoiner
from licet.models.openai.tool_calls import NamelessToolCallError, ToolCallAssembler
from licet.models.openai.wire import Choice, Completion, ContentPart, MessagePart, UsagePart

_COMPLETION = msgspec.json.Decoder(Completion)


class _Channel:
    """One text that grows: its pieces are handed over as they come."""

    __slots__ = ("_is_told", "_joiner", "_put", "_text")

    def __init__(self, on_piece: OnText | None) -> None:
        self._is_told = on_piece is not None
        self._joiner: SurrogateJoiner | None = None
        self._text: GrowingText
        self._put: OnText
        if on_piece is None:
            self._text = GrowingText()
            self._put = self._text.add
        else:
            told = on_piece if isinstance(on_piece, ToldText) else ToldText(on_piece)
            self._text, self._put = told, told

    @property
    def shown(self) -> bool:
        return self._is_told and bool(self._text)

    def add(self, piece: str, *, lenient: bool) -> None:
        if lenient or self._joiner is not None:
            self._joiner = self._joiner or SurrogateJoiner()
            piece = self._joiner.feed(piece)
        if piece:
            self._put(piece)

    def close(self) -> str:
        joiner, self._joiner = self._joiner, None
        if joiner is not None:
            self.add(joiner.flush(), lenient=False)
        return str(self._text)


class AnswerDecoder:
    """Decodes one answer and keeps what it has said so far.

    Text and reasoning go to the callbacks piece by piece. No lone surrogate gets out: halves that
    meet are joined, others become U+FFFD.
    """

    __slots__ = (
        "_answered",
        "_failures",
        "_lenient",
        "_new_call_id",
        "_reasoning",
        "_refusal",
        "_text",
        "_tool_calls",
        "_usage",
        "finish_reason",
    )

    def __init__(
        self,
        *,
        failures: Failures,
        new_call_id: Callable[[], str],
        on_text: OnText | None = None,
        on_reasoning: OnText | None = None,
    ) -> None:
        self._failures = failures
        self._new_call_id = new_call_id
        self._text = _Channel(on_text)
        self._reasoning = _Channel(on_reasoning)
        self._refusal = _Channel(None)
        self._tool_calls = ToolCallAssembler()
        self._usage: UsagePart | None = None
        self._answered = False
        self._lenient = False
        self.finish_reason: str | None = None

    @property
    def shown(self) -> bool:
        """Whether a callback has been given anything: then a repetition would show it twice."""
        return self._text.shown or self._reasoning.shown

    def decode(self, payload: bytes) -> None:
        """Take a chunk of a stream, or a whole response.

        Raises:
            ModelProtocolError: it is not JSON, or not of this form.
            ModelError: it reports an error.
        """
        try:
            completion = _COMPLETION.decode(payload)
            self._lenient = False
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            completion = self._decode_leniently(payload)
            self._lenient = True
        if completion.error:
            raise self._failures.reported(completion.error)
        if completion.usage is not None:
            self._usage = completion.usage
        for choice in completion.choices or ():
            if choice.index == 0:
                self._answered = True
                self._take_choice(choice)

    def response(self, *, request_id: str | None = None) -> ModelResponse:
        """The whole answer.

        Raises:
            ModelProtocolError: nothing was answered, or a tool call names no function.
        """
        if not self._answered:
            raise self._failures.protocol("an answer without choices")
        try:
            tool_calls = self._tool_calls.calls(self._new_call_id)
        except NamelessToolCallError as error:
            raise self._failures.protocol(str(error)) from None
        return ModelResponse(
            text=self._text.close(),
            reasoning=self._reasoning.close(),
            tool_calls=tool_calls,
            usage=self._usage.usage() if self._usage is not None else ModelResponse().usage,
            finish_reason=self.finish_reason,
            refusal=self._refusal.close() or None,
            request_id=request_id,
        )

    def _take_choice(self, choice: Choice) -> None:
        if choice.delta is not None:
            self._take(choice.delta)
            if choice.delta.tool_calls:
                self._tool_calls.add_pieces(choice.delta.tool_calls)
        elif choice.message is not None:
            self._take(choice.message)
            if choice.message.tool_calls:
                self._tool_calls.add_whole(choice.message.tool_calls)
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason

    def _take(self, part: MessagePart) -> None:
        lenient = self._lenient
        if reasoning := part.reasoning_content or part.reasoning:
            self._reasoning.add(reasoning, lenient=lenient)
        content = part.content
        if isinstance(content, str):
            if content:
                self._text.add(content, lenient=lenient)
        elif content:
            self._take_parts(content)
        if part.refusal:
            self._refusal.add(part.refusal, lenient=lenient)

    def _take_parts(self, parts: Sequence[ContentPart]) -> None:
        for part in parts:
            if part.type == "thinking":
                thought = part.thinking
                pieces = [thought] if isinstance(thought, str) else [x.text for x in thought or ()]
                for piece in pieces:
                    self._reasoning.add(piece or "", lenient=self._lenient)
            elif part.text:
                self._text.add(part.text, lenient=self._lenient)

    def _decode_leniently(self, payload: bytes) -> Completion:
        """What the strict decoder refuses but can be read: lone surrogates, broken UTF-8."""
        try:
            tree = json.loads(payload.decode("utf-8", "replace"), strict=False)
        except (ValueError, RecursionError):
            raise self._failures.protocol("something that is not JSON") from None
        try:
            return msgspec.convert(tree, Completion)
        except msgspec.ValidationError as error:
            raise self._failures.protocol(f"JSON of another form: {error}") from None


def cut_off(failures: Failures) -> ModelProtocolError:
    """The error for a stream that stopped before the answer was whole."""
    return failures.protocol("a stream that ends in the middle of the answer", retryable=True)
