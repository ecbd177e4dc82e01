"""Cron expressions and time zones: what is one, and when one is due next."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from licet.errors import LicetError

MAX_CRON_CHARS = 200
MAX_TIMEZONE_CHARS = 64

_FIELD = r"(?:[0-9*,/#?-]|L|(?<![A-Z])[A-Z]{3}(?![A-Z]))+"
# Five fields: a schedule is due once a minute at most. Nothing random ("R"), nothing hashed ("H").
_FIVE_FIELDS = re.compile(rf"{_FIELD}(?: +{_FIELD}){{4}}", re.IGNORECASE)
_NO_ZONES = frozenset(("localtime", "posixrules"))


class InvalidTimesError(LicetError):
    """What should say when something is due does not."""

    code = "invalid_times"


def check_times(cron_expr: str, timezone: str) -> None:
    """Refuse what is no cron expression of five fields, is never due, or is no time zone.

    Raises:
        InvalidTimesError: says which, and why.
    """
    zone = _zone(timezone)
    if len(cron_expr) > MAX_CRON_CHARS or not _FIVE_FIELDS.fullmatch(cron_expr):
        raise InvalidTimesError(
            f"Invalid cron expression: {cron_expr[:MAX_CRON_CHARS]!r}; expected five fields: "
            "minute, hour, day of the month, month, day of the week"
        )
    from croniter import CroniterError  # type: ignore[import-untyped]  # it brings no types

    try:
        _next(cron_expr, zone, datetime.now(UTC))
    except CroniterError as error:
        raise InvalidTimesError(f"Invalid cron expression: {cron_expr!r}: {error}") from error


def check_timezone(timezone: str) -> None:
    """Refuse what is no IANA time zone.

    Raises:
        InvalidTimesError: it is none.
    """
    _zone(timezone)


def next_time(cron_expr: str, timezone: str, *, after: float) -> int:
    """When something is due next, in epoch seconds; ``after`` is in epoch seconds, too.

    The expression has passed ``check_times``, or is one of six fields, of which the first is of
    seconds, as the engine takes them.
    """
    return int(_next(cron_expr, _zone(timezone), datetime.fromtimestamp(after, UTC)).timestamp())


def _next(cron_expr: str, zone: ZoneInfo, after: datetime) -> datetime:
    from croniter import croniter

    # As the engine reads it.
    times = croniter(cron_expr, after.astimezone(zone), second_at_beginning=True)
    found: datetime = times.get_next(datetime)
    return found


def _zone(timezone: str) -> ZoneInfo:
    if timezone and len(timezone) <= MAX_TIMEZONE_CHARS and timezone not in _NO_ZONES:
        try:
            return ZoneInfo(timezone)
        except (ValueError, OSError, KeyError):
            """Not known here."""
    raise InvalidTimesError(
        f"Invalid timezone: {timezone[:MAX_TIMEZONE_CHARS]!r}; expected a name of the IANA "
        "database, such as 'Europe/Berlin'"
    )
