from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from licet.runs.cron_times import InvalidTimesError, check_times, check_timezone, next_time

NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC).timestamp()


def utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("cron_expr", "timezone", "expected"),
    [
        ("* * * * *", "UTC", "2026-03-28 12:01"),
        ("*/15 9-17 * * MON-FRI", "UTC", "2026-03-30 09:00"),
        ("0 9 * * *", "Europe/Berlin", "2026-03-29 07:00"),
        ("0 9 * * *", "America/New_York", "2026-03-28 13:00"),
        ("0 0 L * *", "UTC", "2026-03-31 00:00"),
        ("0 12 1,15 jan,apr ?", "UTC", "2026-04-01 12:00"),
        ("0 0 * * 5#2", "UTC", "2026-04-10 00:00"),
        ("0 0 29 2 *", "UTC", "2028-02-29 00:00"),
    ],
)
def test_the_next_time_is_that_of_the_zone(cron_expr: str, timezone: str, expected: str) -> None:
    check_times(cron_expr, timezone)
    assert utc(next_time(cron_expr, timezone, after=NOW)) == expected


def test_an_hour_that_the_clocks_leave_out_does_not_lose_the_day() -> None:
    # On 2026-03-29 it is never 02:30 in Berlin.
    found = utc(next_time("30 2 * * *", "Europe/Berlin", after=NOW))
    assert found.startswith("2026-03-29 01:")


@pytest.mark.parametrize(
    "cron_expr",
    [
        "",
        "* * * *",
        "* * * * * *",
        "0 * * * * *",
        "@daily",
        "60 * * * *",
        "*/0 * * * *",
        "5-1-2 * * * *",
        "0 0 30 2 *",
        "0 0 32 * *",
        "H * * * *",
        "R * * * *",
        "R(0-29) * * * *",
        "0 0 1 JAN-FOO *",
        "0 0 1 JANFEB *",
        "\n* * * * *",
        "٣ * * * *",
        "1," * 120 + "1 * * * *",
    ],
)
def test_what_is_no_expression_of_five_fields_is_refused(cron_expr: str) -> None:
    with pytest.raises(InvalidTimesError, match=r"^Invalid cron expression: "):
        check_times(cron_expr, "UTC")


@pytest.mark.parametrize(
    "timezone",
    [
        "",
        "Nowhere/City",
        "Europe",
        "../../etc/passwd",
        "/etc/localtime",
        "localtime",
        "posixrules",
        "\0",
        "x" * 4000,
        "Ünknown",
        "+02:00",
    ],
)
def test_what_is_no_time_zone_is_refused(timezone: str) -> None:
    with pytest.raises(InvalidTimesError, match=r"^Invalid timezone: ") as refused:
        check_timezone(timezone)
    assert len(str(refused.value)) < 200
    with pytest.raises(InvalidTimesError, match=r"^Invalid timezone: "):
        check_times("* * * * *", timezone)


fields = st.text(alphabet="0123456789*,-/#?LWlMONFRIJANhr", min_size=1, max_size=6)


@given(cron_expr=st.lists(fields, min_size=5, max_size=5).map(" ".join))
@example(cron_expr="0 0 L-3 * *")
@example(cron_expr="0 0 * * L")
@example(cron_expr="0 0 * * 7#1")
@example(cron_expr="? ? ? ? ?")
def test_any_expression_is_refused_or_has_a_time_after_now(cron_expr: str) -> None:
    with suppress(InvalidTimesError):
        check_times(cron_expr, "Europe/Berlin")
        assert next_time(cron_expr, "Europe/Berlin", after=NOW) > NOW


def test_the_engines_expressions_have_seconds() -> None:
    assert next_time("*/2 * * * * *", "UTC", after=NOW) == NOW + 2
