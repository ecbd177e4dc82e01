"""What a client may say when it goes on with a paused run: who decided what, and nothing else.

Today's clients send the whole records of the calls back. Of each, only its id, and what people
decide, is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request

from licet.agent.decisions import Decision
from licet.errors import InvalidInputError
from licet.os import values
from licet.os.run_form import read_fields

MAX_NOTE_CHARS = 2_000
_FLAGS = ("fork", "regenerate", "replace_original")
_TEXTS = ("input", "additional_instructions")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinueForm:
    """A checked request to go on with a run."""

    decisions: tuple[Decision, ...]
    stream: bool
    stream_events: bool
    background: bool
    session_id: str | None


async def read_continue_form(request: Request) -> ContinueForm:
    """Read and check the body of such a request.

    Raises:
        InvalidInputError: names the field, and what was expected.
    """
    given, _ = await read_fields(request)
    wanted = [field for field in _TEXTS if field in given]
    wanted += [field for field in _FLAGS if values.boolean(given.get(field, False), field)]
    if wanted:
        raise InvalidInputError(wanted[0], "nothing: a paused run goes on from where it paused")
    if given.get("continue_from", "end") != "end":
        raise InvalidInputError("continue_from", "'end': a paused run goes on where it paused")
    session_id = given.get("session_id")
    return ContinueForm(
        decisions=_decisions(given.get("tools", [])),
        stream=values.boolean(given.get("stream", True), "stream"),
        stream_events=values.boolean(given.get("stream_events", True), "stream_events"),
        background=values.boolean(given.get("background", False), "background"),
        session_id=None if session_id is None else values.identifier(session_id, "session_id"),
    )


def _decisions(given: Any) -> tuple[Decision, ...]:
    decoded = values.json_value(given, "tools")
    if not isinstance(decoded, list):
        raise InvalidInputError("tools", "a JSON array")
    # Its size and its depth, and what stands in its texts.
    values.json_object({"tools": decoded}, "tools")
    found = [_decision(entry, f"tools[{place}]") for place, entry in enumerate(decoded)]
    return tuple(decision for decision in found if decision is not None)


def _decision(entry: Any, field: str) -> Decision | None:
    """What an entry says; None: it is a call that was only sent back."""
    if not isinstance(entry, dict):
        raise InvalidInputError(field, "an object with tool_call_id and what was decided")
    if entry.get("tool_call_id") is None:
        raise values.MissingFieldError(f"{field}.tool_call_id")
    decision = Decision(
        tool_call_id=values.text(entry["tool_call_id"], f"{field}.tool_call_id"),
        confirmed=_optional_boolean(entry, "confirmed", field),
        note=_note(entry, field),
        values=_user_values(entry.get("user_input_schema"), f"{field}.user_input_schema"),
        result=_result(entry.get("result")),
    )
    said = (decision.confirmed, decision.values, decision.result)
    return None if all(each is None for each in said) else decision


def _optional_boolean(entry: Mapping[str, Any], name: str, field: str) -> bool | None:
    value = entry.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidInputError(f"{field}.{name}", "true or false")
    return value


def _note(entry: Mapping[str, Any], field: str) -> str | None:
    value = entry.get("confirmation_note")
    if value is None:
        return None
    note = values.text(value, f"{field}.confirmation_note")
    if len(note) > MAX_NOTE_CHARS:
        raise InvalidInputError(
            f"{field}.confirmation_note", f"at most {MAX_NOTE_CHARS} characters"
        )
    return note


def _user_values(given: Any, field: str) -> Mapping[str, Any] | None:
    """The values by name; None: there is none among them."""
    if given is None:
        return None
    if not isinstance(given, list):
        raise InvalidInputError(field, "a list of {name, value}")
    found: dict[str, Any] = {}
    for each in given:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise InvalidInputError(field, "a list of {name, value}")
        if each.get("value") is not None:
            found[each["name"]] = each["value"]
    return found or None


def _result(given: Any) -> str | None:
    """A result as the model reads it: a text, or the JSON of something else."""
    if given is None or isinstance(given, str):
        return given
    return msgspec.json.encode(given).decode()
