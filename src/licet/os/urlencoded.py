"""Urlencoded forms, read in bounded room and in turns with the server's other work.

A common decoder takes eighty times the room of a body that consists of escapes, and seconds in
which nobody else is answered.
"""

from __future__ import annotations

import asyncio
from urllib.parse import unquote_to_bytes

from licet.errors import InvalidInputError

MAX_FIELDS = 1000
_PIECE_BYTES = 32 * 1024


async def urlencoded_fields(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form (WHATWG URL §5.1), in their order.

    Raises:
        InvalidInputError: more than 1000 fields, or not in UTF-8.
    """
    if body.count(b"&") >= MAX_FIELDS:
        raise InvalidInputError("body", f"a form of at most {MAX_FIELDS} fields")
    fields: list[tuple[str, str]] = []
    for pair in body.split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            fields.append((await _decoded(name), await _decoded(value)))
    return fields


async def _decoded(text: bytes) -> str:
    pieces: list[bytes] = []
    start = 0
    while start < len(text):
        end = start + _PIECE_BYTES
        # An escape (%41) is not cut in two.
        cut = text.rfind(b"%", end - 2, end) if end < len(text) else -1
        end = end if cut == -1 else cut
        pieces.append(unquote_to_bytes(text[start:end].replace(b"+", b" ")))
        start = end
        if start < len(text):
            await asyncio.sleep(0)
    try:
        return b"".join(pieces).decode()
    except UnicodeDecodeError:
        raise InvalidInputError("body", "a form in UTF-8") from None
