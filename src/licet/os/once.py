"""Once: a request with an ``Idempotency-Key`` is done once, however often it is sent.

Source: draft-ietf-httpapi-idempotency-key-header-07. The key counts within its caller and its
route; the same key with another body is refused.
"""

from __future__ import annotations

import hashlib
import re
import time
from typing import Any

import msgspec
from starlette.requests import Request

from licet.agent.output import plain
from licet.db.work_records import Once
from licet.errors import InvalidInputError
from licet.os.caller import Caller

_HEADER = "idempotency-key"
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_FIELD = f"header.{_HEADER}"


def once_of(request: Request, caller: Caller, *, route: str, asked: Any) -> Once | None:
    """What makes a request one that is done once; None: it has no key.

    Args:
        request: its header holds the key.
        caller: whose key it is.
        route: where it counts, with the ids of the path.
        asked: all that was asked, as JSON can hold it.

    Raises:
        InvalidInputError: the key is none, or there are several.
    """
    keys = request.headers.getlist(_HEADER)
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise InvalidInputError(_FIELD, "one key of 1 to 255 visible ASCII characters")
    body = msgspec.json.encode(asked, enc_hook=plain, order="deterministic")
    principal = caller.principal
    return Once(
        owner=caller.access.owner if principal is None else principal.owner,
        route=route,
        key=keys[0],
        digest=hashlib.sha256(body).hexdigest(),
        created_at_us=time.time_ns() // 1000,
    )


def used_for_another() -> InvalidInputError:
    """What to raise where the key was used for another body."""
    return InvalidInputError(
        _FIELD, "a new key: this one was used before, and something else was asked"
    )
