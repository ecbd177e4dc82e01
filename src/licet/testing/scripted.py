"""ScriptedModel: a model that says what a test told it to say."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from licet.errors import LicetError
from licet.models.base import ModelRequest, ModelResponse, OnText
from licet.models.message import FunctionCall, ToolCall, Usage


class Gate(Protocol):
    """Something to wait for, such as an ``asyncio.Event``."""

    async def wait(self) -> object:
        """Return when the way is open."""


@dataclass(frozen=True, slots=True)
class Say:
    """Answer with a text.

    Streamed in ``pieces``, by default word by word. With ``hold`` the turn stops after
    ``hold_after`` pieces until the gate opens: a run that can be watched, or cancelled, half-way.
    """

    text: str
    reasoning: str = ""
    pieces: Sequence[str] | None = None
    usage: Usage = field(default_factory=Usage)
    finish_reason: str = "stop"
    refusal: str | None = None
    hold: Gate | None = None
    hold_after: int = 0


@dataclass(frozen=True, slots=True, init=False)
class CallTools:
    """Call tools: ``CallTools(("web_search", {"query": "x"}), ("now", {}))``.

    Arguments given as text are handed on as they are, also when they are not JSON. ``text`` is
    said beside the calls.
    """

    calls: tuple[tuple[str, Mapping[str, Any] | str], ...]
    text: str
    usage: Usage

    def __init__(
        self,
        *calls: tuple[str, Mapping[str, Any] | str],
        text: str = "",
        usage: Usage = Usage(),  # noqa: B008 - immutable
    ) -> None:
        object.__setattr__(self, "calls", calls)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "usage", usage)


@dataclass(frozen=True, slots=True)
class Fail:
    """Fail with ``error``, when ``text`` has been said."""

    error: Exception
    text: str = ""


Turn: TypeAlias = Say | CallTools | Fail
Script: TypeAlias = Sequence[Turn | str] | Callable[[ModelRequest], Turn | str]


class ScriptExhaustedError(LicetError):
    """A model was asked once more than its script has turns."""

    code = "script_exhausted"


def words(text: str) -> list[str]:
    """The text in pieces of one word and the space before it. Nothing is lost."""
    return re.findall(r"\s*\S+|\s+$", text)


class ScriptedModel:
    """Plays a script instead of asking a model.

    The script is a sequence of turns, taken in the order in which requests arrive, or a function
    from the request to the turn. A plain string stands for ``Say``.

    After the last turn ``when_exhausted`` decides: "error" raises ScriptExhaustedError,
    "repeat_last" says the last turn again, "cycle" begins anew. ``hold`` holds every turn back
    until the gate opens. ``requests`` are all requests so far.
    """

    def __init__(
        self,
        script: Script,
        *,
        id: str = "scripted",
        name: str = "ScriptedModel",
        provider: str = "licet",
        pieces: Callable[[str], Iterable[str]] = words,
        when_exhausted: Literal["error", "repeat_last", "cycle"] = "error",
        hold: Gate | None = None,
    ) -> None:
        self.id = id
        self.name = name
        self.provider = provider
        self.requests: list[ModelRequest] = []
        self._script = script if callable(script) else tuple(script)
        self._pieces = pieces
        self._when_exhausted = when_exhausted
        self._hold = hold
        self._waiting: list[tuple[int, asyncio.Event]] = []

    async def respond(
        self,
        request: ModelRequest,
        *,
        on_text: OnText | None = None,
        on_reasoning: OnText | None = None,
    ) -> ModelResponse:
        """Play the next turn. See ``Model.respond``.

        Raises:
            ScriptExhaustedError: there is none.
        """
        number = len(self.requests)
        # The caller goes on using its list of messages.
        self.requests.append(replace(request, messages=tuple(request.messages)))
        for wanted, event in self._waiting:
            if len(self.requests) >= wanted:
                event.set()
        if self._hold is not None:
            await self._hold.wait()
        turn = self._turn(number, request)
        if isinstance(turn, Fail):
            await self._tell(turn.text, self._pieces(turn.text), on_text)
            raise turn.error
        if isinstance(turn, CallTools):
            await self._tell(turn.text, self._pieces(turn.text), on_text)
            return ModelResponse(
                text=turn.text,
                tool_calls=_tool_calls(turn, number),
                usage=turn.usage,
                finish_reason="tool_calls",
            )
        return await self._say(turn, on_text, on_reasoning)

    async def wait_for_requests(self, count: int, *, timeout_seconds: float = 10.0) -> None:
        """Wait until the model has been asked ``count`` times in all.

        Raises:
            TimeoutError: it was not.
        """
        if len(self.requests) >= count:
            return
        waiting = (count, asyncio.Event())
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(timeout_seconds):
                await waiting[1].wait()
        finally:
            self._waiting.remove(waiting)

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _turn(self, number: int, request: ModelRequest) -> Turn:
        if callable(self._script):
            turn = self._script(request)
        else:
            length = len(self._script)
            if number >= length and (self._when_exhausted == "error" or not length):
                raise ScriptExhaustedError(
                    f"request {number + 1} of {self.name} {self.id!r}, but the script has {length} "
                    "turns; add turns, or set when_exhausted='repeat_last'"
                )
            repeated = number % length if self._when_exhausted == "cycle" else length - 1
            turn = self._script[number if number < length else repeated]
        return Say(turn) if isinstance(turn, str) else turn

    async def _say(
        self, turn: Say, on_text: OnText | None, on_reasoning: OnText | None
    ) -> ModelResponse:
        await self._tell(turn.reasoning, self._pieces(turn.reasoning), on_reasoning)
        pieces = self._pieces(turn.text) if turn.pieces is None else turn.pieces
        await self._tell(turn.text, pieces, on_text, hold=turn.hold, hold_after=turn.hold_after)
        return ModelResponse(
            text=turn.text,
            reasoning=turn.reasoning,
            usage=turn.usage,
            finish_reason=turn.finish_reason,
            refusal=turn.refusal,
        )

    async def _tell(
        self,
        text: str,
        pieces: Iterable[str],
        on_piece: OnText | None,
        *,
        hold: Gate | None = None,
        hold_after: int = 0,
    ) -> None:
        pieces = list(pieces)
        if "".join(pieces) != text:
            raise ValueError(f"the pieces of {text!r} do not add up to it: {pieces!r}")
        for place, piece in enumerate(pieces):
            if hold is not None and place == hold_after:
                await hold.wait()
            if on_piece is not None:
                on_piece(piece)
                await asyncio.sleep(0)  # as with a real model, others run between two pieces
        if hold is not None and hold_after >= len(pieces):
            await hold.wait()


def _tool_calls(turn: CallTools, number: int) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(
            id=f"call_{number}_{place}",
            function=FunctionCall(
                name=name,
                arguments=(
                    arguments
                    if isinstance(arguments, str)
                    else msgspec.json.encode(arguments).decode()
                ),
            ),
        )
        for place, (name, arguments) in enumerate(turn.calls)
    )
