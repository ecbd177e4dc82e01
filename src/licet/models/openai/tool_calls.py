"""Tool calls put together from their pieces, however a server cuts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from licet.models.message import FunctionCall, ToolCall
from licet.models.openai.surrogates import repair
from licet.models.openai.wire import ToolCallPart


class NamelessToolCallError(ValueError):
    """A call was begun, and its function never named."""


class _Draft:
    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []

    def complete(self) -> bool:
        """Whether the arguments so far are a whole JSON value."""
        try:
            msgspec.json.decode("".join(self.arguments))
        except (msgspec.DecodeError, UnicodeError):
            return False
        return True


class ToolCallAssembler:
    """Collects the calls of one answer.

    OpenAI numbers the pieces of each call. Other servers leave the number out, give every call the
    number 0, send whole calls at once, or repeat name and id in each piece: a new id, or a name
    with arguments after a call that is already whole, begins another call.
    """

    __slots__ = ("_by_index", "_drafts")

    def __init__(self) -> None:
        self._drafts: list[_Draft] = []
        self._by_index: dict[int, _Draft] = {}

    def add_pieces(self, parts: Sequence[ToolCallPart]) -> None:
        """Pieces from one chunk of a stream."""
        for part in parts:
            _extend(self._draft_of(part), part)

    def add_whole(self, parts: Sequence[ToolCallPart]) -> None:
        """The calls of a plain response: each part is one call."""
        for part in parts:
            _extend(self._begin(part), part)

    def calls(self, new_id: Callable[[], str]) -> tuple[ToolCall, ...]:
        """The calls, in the order in which they began; ``new_id`` names those without an id.

        Raises:
            NamelessToolCallError: a call names no function.
        """
        for draft in self._drafts:
            if not draft.name:
                raise NamelessToolCallError("a tool call that names no function")
        return tuple(
            ToolCall(
                id=repair(draft.id) or new_id(),
                function=FunctionCall(
                    name=repair(draft.name), arguments=repair("".join(draft.arguments)) or "{}"
                ),
            )
            for draft in self._drafts
        )

    def _draft_of(self, part: ToolCallPart) -> _Draft:
        if part.index is not None:
            draft = self._by_index.get(part.index)
        elif part.id:
            draft = next((known for known in self._drafts if known.id == part.id), None)
            if draft is None and self._drafts and not self._drafts[-1].id:
                draft = self._drafts[-1]
        else:
            draft = self._drafts[-1] if self._drafts else None
        return self._begin(part) if draft is None or _begins_another(draft, part) else draft

    def _begin(self, part: ToolCallPart) -> _Draft:
        draft = _Draft()
        self._drafts.append(draft)
        if part.index is not None:
            self._by_index[part.index] = draft
        return draft


def _begins_another(draft: _Draft, part: ToolCallPart) -> bool:
    if part.id and draft.id:
        return part.id != draft.id
    function = part.function
    named = function is not None and bool(function.name) and bool(function.arguments)
    return named and bool(draft.name) and draft.complete()


def _extend(draft: _Draft, part: ToolCallPart) -> None:
    draft.id = draft.id or part.id or ""
    function = part.function
    if function is None:
        return
    if function.name and function.name != draft.name:
        draft.name += function.name
    if isinstance(function.arguments, dict):
        draft.arguments.append(msgspec.json.encode(function.arguments).decode())
    elif function.arguments:
        draft.arguments.append(function.arguments)
