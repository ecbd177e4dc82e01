"""What clients may send about sessions, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from licet.db.base import SessionChanges
from licet.errors import InvalidInputError
from licet.os import values

MAX_NAME_CHARS = 1000
MAX_DELETED = 1000
_TYPES = ("agent", "team", "workflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session to create; None: not given."""

    session_id: str | None
    session_name: str | None
    session_state: dict[str, Any] | None
    metadata: dict[str, Any] | None
    user_id: str | None
    component_id: str | None


async def read_new_session(request: Request, session_type: str) -> NewSession:
    """The body of ``POST /sessions``; an empty one asks for a new session without a name."""
    body = await request.body()
    given = values.json_body(body) if body.strip() else {}
    return NewSession(
        session_id=_id(given, "session_id"),
        session_name=_name(given, "session_name"),
        session_state=_object(given, "session_state"),
        metadata=_object(given, "metadata"),
        user_id=_id(given, "user_id"),
        component_id=_id(given, f"{session_type}_id"),
    )


async def read_rename(request: Request) -> SessionChanges:
    """The body of ``POST /sessions/{id}/rename``."""
    given = values.json_body(await request.body())
    if given.get("session_name") is None:
        raise values.MissingFieldError("session_name")
    return SessionChanges(session_name=_name(given, "session_name"))


async def read_changes(request: Request) -> SessionChanges:
    """The body of ``PATCH /sessions/{id}``: what is absent stays as it is."""
    given = values.json_body(await request.body())
    return SessionChanges(
        session_name=_name(given, "session_name"),
        session_state=_object(given, "session_state"),
        metadata=_object(given, "metadata"),
        summary=_object(given, "summary"),
    )


async def read_deletion(request: Request) -> list[tuple[str, str]]:
    """The body of ``DELETE /sessions``: ids with their types."""
    given = values.json_body(await request.body())
    ids, types = _list(given, "session_ids"), _list(given, "session_types")
    if len(ids) != len(types):
        raise InvalidInputError("session_types", "as many types as there are session_ids")
    for session_type in types:
        if session_type not in _TYPES:
            raise InvalidInputError("session_types", f"each one of {', '.join(_TYPES)}")
    return [
        (values.identifier(session_id, "session_ids"), session_type)
        for session_id, session_type in zip(ids, types, strict=True)
    ]


def _list(given: Mapping[str, Any], field: str) -> list[Any]:
    value = given.get(field)
    if value is None:
        raise values.MissingFieldError(field)
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_DELETED:
        raise InvalidInputError(field, f"a list of 1 to {MAX_DELETED}")
    return value


def _id(given: Mapping[str, Any], field: str) -> str | None:
    value = given.get(field)
    return None if value is None or value == "" else values.identifier(value, field)


def _name(given: Mapping[str, Any], field: str) -> str | None:
    value = given.get(field)
    if value is None:
        return None
    if len(values.text(value, field)) > MAX_NAME_CHARS:
        raise InvalidInputError(field, f"at most {MAX_NAME_CHARS} characters")
    return str(value)


def _object(given: Mapping[str, Any], field: str) -> dict[str, Any] | None:
    value = given.get(field)
    return None if value is None else values.json_object(value, field)
