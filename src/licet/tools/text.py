"""What a tool returned, as the text that a model reads."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python


def as_text(value: Any) -> str:
    """Text as it is, None as "", structured values as JSON, anything else by ``str()``.

    Structured are dicts, lists, tuples, sets, dataclasses, pydantic models and msgspec structs.
    Lone surrogates and NUL become U+FFFD: neither UTF-8 nor PostgreSQL can hold them.
    """
    if isinstance(value, str):
        text = str.__str__(value)
    elif value is None:
        text = ""
    elif isinstance(value, bytes | bytearray):
        text = bytes(value).decode("utf-8", "replace")
    elif _is_structured(value):
        text = _json(value)
    else:
        text = str(value)
    return _storable(text)


def joined(items: Iterator[Any], *, max_chars: int) -> str:
    """The texts of all items in a row. Stops reading once there are more than ``max_chars``."""
    pieces: list[str] = []
    left = max_chars
    for item in items:
        pieces.append(as_text(item))
        left -= len(pieces[-1])
        if left < 0:
            break
    return "".join(pieces)


async def ajoined(items: AsyncIterator[Any], *, max_chars: int) -> str:
    """``joined`` for an asynchronous iterator."""
    pieces: list[str] = []
    left = max_chars
    async for item in items:
        pieces.append(as_text(item))
        left -= len(pieces[-1])
        if left < 0:
            break
    return "".join(pieces)


def bounded(text: str, *, max_chars: int) -> str:
    """The text, or its beginning with a note that it was cut."""
    if len(text) <= max_chars:
        return text
    return f"{text[:max_chars]}\n[cut after {max_chars} characters]"


def _is_structured(value: Any) -> bool:
    if isinstance(value, dict | list | tuple | set | frozenset | BaseModel | msgspec.Struct):
        return True
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _json(value: Any) -> str:
    try:
        return to_json(value, fallback=_plain, bytes_mode="base64", inf_nan_mode="null").decode()
    except PydanticSerializationError:
        pass
    # Lone surrogates end here, and structures that contain themselves.
    try:
        return json.dumps(
            value, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
    except (TypeError, ValueError):
        return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    if _is_structured(value):
        return to_jsonable_python(value, fallback=_plain)
    return str(value)


def _storable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\x00", "\ufffd")
