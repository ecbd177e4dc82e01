"""What clients may send about approvals, read strictly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from licet.errors import InvalidInputError
from licet.os import values
from licet.os.continue_form import MAX_NOTE_CHARS

_DECIDED = {"approved": True, "rejected": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedResolution:
    """The body of ``POST /approvals/{id}/resolve``.

    ``resolved_by`` counts only where nobody is authenticated.
    """

    approved: bool
    resolved_by: str | None
    data: dict[str, Any] | None


async def read_resolution(request: Request) -> WantedResolution:
    """Read and check it.

    Raises:
        InvalidInputError: names the field, and what was expected.
    """
    given = values.json_body(await request.body())
    if given.get("status") is None:
        raise values.MissingFieldError("status")
    status, by, data = given["status"], given.get("resolved_by"), given.get("resolution_data")
    if not isinstance(status, str) or status not in _DECIDED:
        raise InvalidInputError("status", "'approved' or 'rejected'")
    note = data.get("note") if isinstance(data, dict) else None
    if isinstance(note, str) and len(note) > MAX_NOTE_CHARS:
        raise InvalidInputError("resolution_data.note", f"at most {MAX_NOTE_CHARS} characters")
    return WantedResolution(
        approved=_DECIDED[status],
        resolved_by=None if by is None else values.identifier(by, "resolved_by"),
        data=None if data is None else values.json_object(data, "resolution_data"),
    )
