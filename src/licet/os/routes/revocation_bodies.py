"""What clients may send to revoke something, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from licet.db.trust_records import RevocationKind
from licet.errors import InvalidInputError
from licet.os import values
from licet.os.revocations import Revoke

MAX_REASON_CHARS = 500
_LAST_EPOCH_SECOND = 253_402_300_799  # the end of the year 9999
_KINDS = {
    "token_id": RevocationKind.TOKEN,
    "sid": RevocationKind.SESSION,
    "subject": RevocationKind.SUBJECT,
    "key_id": RevocationKind.KEY,
    "service_account": RevocationKind.SERVICE_ACCOUNT,
}


async def read_revocation(request: Request, *, created_by: str | None) -> Revoke:
    """The body of ``POST /revocations``: exactly one thing to revoke, and the conditions."""
    given = values.json_body(await request.body())
    named = [field for field in _KINDS if given.get(field) is not None]
    if len(named) != 1:
        raise InvalidInputError("body", f"exactly one of {', '.join(_KINDS)}")
    (field,) = named
    return Revoke(
        kind=_KINDS[field],
        value=values.identifier(given[field], field),
        issuer_alias=_text(given, "issuer"),
        issued_before=_epoch(given, "issued_before"),
        expires_at=_epoch(given, "expires_at"),
        reason=_text(given, "reason"),
        created_by=created_by,
    )


def _text(given: Mapping[str, Any], field: str) -> str | None:
    value = given.get(field)
    if value is None:
        return None
    if len(values.text(value, field)) > MAX_REASON_CHARS:
        raise InvalidInputError(field, f"at most {MAX_REASON_CHARS} characters")
    return str(value)


def _epoch(given: Mapping[str, Any], field: str) -> float | None:
    value = given.get(field)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidInputError(field, "a number of seconds")
    if not 0 <= value <= _LAST_EPOCH_SECOND:
        raise InvalidInputError(field, "epoch seconds before the year 10000")
    return float(value)
