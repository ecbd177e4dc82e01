"""What clients may send about service accounts, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from licet.errors import InvalidInputError
from licet.os import values
from licet.os.service_accounts import (
    DEFAULT_EXPIRY_DAYS,
    DEFAULT_OVERLAP_SECONDS,
    DEFAULT_SCOPES,
    NewAccount,
)

MAX_SCOPES = 200
MAX_SCOPE_CHARS = 300


async def read_new_account(request: Request) -> NewAccount:
    """The body of ``POST /service-accounts``."""
    given = values.json_body(await request.body())
    if given.get("name") is None:
        raise values.MissingFieldError("name")
    never = values.boolean(given.get("never_expires", False), "never_expires")
    days = _whole(given, "expires_in_days")
    if never and days is not None:
        raise InvalidInputError("never_expires", "false, where expires_in_days is given")
    return NewAccount(
        name=values.text(given["name"], "name"),
        scopes=_scopes(given),
        expires_in_days=None if never else DEFAULT_EXPIRY_DAYS if days is None else days,
        allow_privileged_scopes=values.boolean(
            given.get("allow_privileged_scopes", False), "allow_privileged_scopes"
        ),
    )


async def read_rotation(request: Request) -> tuple[int, int | None]:
    """The body of ``POST /service-accounts/{id}/rotate``: overlap in seconds, days to live."""
    body = await request.body()
    given = values.json_body(body) if body.strip() else {}
    overlap_seconds = _whole(given, "overlap_seconds")
    return (
        DEFAULT_OVERLAP_SECONDS if overlap_seconds is None else overlap_seconds,
        _whole(given, "expires_in_days"),
    )


def _scopes(given: Mapping[str, Any]) -> tuple[str, ...]:
    value = given.get("scopes")
    if value is None:
        return DEFAULT_SCOPES
    if not isinstance(value, list) or len(value) > MAX_SCOPES:
        raise InvalidInputError("scopes", f"a list of at most {MAX_SCOPES}")
    # Each once, in their order.
    return tuple(dict.fromkeys(_scope(item) for item in value))


def _scope(item: object) -> str:
    if isinstance(item, str):
        item = {"scope": item}
    if not isinstance(item, dict):
        raise InvalidInputError("scopes", "objects such as {'scope': 'agents:run'}")
    if item.get("effect", "allow") != "allow":
        raise InvalidInputError("scopes", "the effect 'allow': what is not granted is denied")
    scope = values.text(item.get("scope"), "scopes")
    if len(scope) > MAX_SCOPE_CHARS:
        raise InvalidInputError("scopes", f"scopes of at most {MAX_SCOPE_CHARS} characters")
    return scope


def _whole(given: Mapping[str, Any], field: str) -> int | None:
    value = given.get(field)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInputError(field, "a whole number")
    return value
