"""Values that clients send, read strictly: each helper names the field that it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from licet.agent.nesting import MAX_JSON_DEPTH, deeper_than
from licet.errors import InvalidInputError

MAX_ID_CHARS = 255
# A key of the database has 800 bytes, and an owner's holds an issuer's alias (64) besides the user.
MAX_ID_BYTES = 700
# What a client lets a session or a run carry comes back with every answer about it.
MAX_JSON_BYTES = 256 * 1024
_TRUE = frozenset(("true", "1", "on", "yes", "t", "y"))
_FALSE = frozenset(("false", "0", "off", "no", "f", "n"))


class MissingFieldError(InvalidInputError):
    """A required field is absent or empty."""

    code = "missing_field"

    def __init__(self, field: str) -> None:
        super().__init__(field, "Field required")


def text(value: Any, field: str) -> str:
    """Text without NUL bytes and lone surrogates: no database and no encoder takes those."""
    if not isinstance(value, str):
        raise InvalidInputError(field, "text")
    if "\0" in value:
        raise InvalidInputError(field, "text without NUL bytes")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidInputError(field, "text without lone surrogates") from None
    return value


def identifier(value: Any, field: str) -> str:
    """An id that a client chose: 1 to 255 printable characters, at most 700 bytes in UTF-8."""
    checked = text(value, field)
    if not 1 <= len(checked) <= MAX_ID_CHARS or not checked.isprintable():
        raise InvalidInputError(field, f"1 to {MAX_ID_CHARS} printable characters")
    if len(checked.encode()) > MAX_ID_BYTES:
        raise InvalidInputError(field, f"at most {MAX_ID_BYTES} bytes in UTF-8")
    return checked


def boolean(value: Any, field: str) -> bool:
    """A JSON boolean, or one of the words that forms use for it."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
    raise InvalidInputError(field, "true or false")


def json_value(value: Any, field: str) -> Any:
    """A JSON value, or the text of one."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(text(value, field))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise InvalidInputError(field, "valid JSON") from None


def json_object(value: Any, field: str) -> dict[str, Any]:
    """A JSON object, or the text of one: of limited size and depth, no NUL bytes in its strings."""
    if isinstance(value, str) and len(value) > MAX_JSON_BYTES:
        raise InvalidInputError(field, f"at most {MAX_JSON_BYTES} bytes of JSON")
    decoded = json_value(value, field)
    if not isinstance(decoded, dict):
        raise InvalidInputError(field, "a JSON object")
    try:
        encoded = msgspec.json.encode(decoded)
    except RecursionError:
        raise InvalidInputError(field, f"at most {MAX_JSON_DEPTH} levels of JSON") from None
    if len(encoded) > MAX_JSON_BYTES:
        raise InvalidInputError(field, f"at most {MAX_JSON_BYTES} bytes of JSON")
    if deeper_than(decoded, MAX_JSON_DEPTH):
        raise InvalidInputError(field, f"at most {MAX_JSON_DEPTH} levels of JSON")
    if b"\\u0000" in encoded:
        raise InvalidInputError(field, "text without NUL bytes")
    return decoded


def json_body(body: bytes) -> dict[str, Any]:
    """The JSON object that a request's body is."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise InvalidInputError("body", "valid JSON") from None
    if not isinstance(decoded, dict):
        raise InvalidInputError("body", "a JSON object")
    return decoded


def declared_only(
    given: Mapping[str, Any], declared: Mapping[str, Any], field: str
) -> Mapping[str, Any]:
    """Refuse keys that the agent does not declare: a client adds nothing to the server's state."""
    unknown = sorted(set(given) - set(declared))
    if unknown:
        known = ", ".join(sorted(declared)) or "none"
        raise InvalidInputError(
            field, f"keys that the agent declares ({known}), not {unknown[0]!r}"
        )
    return given
