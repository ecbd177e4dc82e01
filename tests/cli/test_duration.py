from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.cli.duration import describe_date, describe_seconds, parse_duration
from licet.errors import InvalidInputError

NOON = 1_790_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1h", 3600), ("1h30m", 5400), ("7d", 604_800), ("2w", 1_209_600)],
)
def test_a_span_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert parse_duration(text, field="x") == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1 h", "1H", "1h30", "1.5h", "٣h", "1y"])
def test_another_form_is_refused_and_the_option_is_named(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--expires-in: a span such as"):
        parse_duration(text, field="--expires-in")


@pytest.mark.parametrize("text", ["0s", "0h0m", "11000d", "999999999w"])
def test_nothing_and_more_than_ten_years_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="ten years"):
        parse_duration(text, field="x")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "1 minute"),
        (3 * 60 + 5, "3 minutes"),
        (7200, "2 hours"),
        (86_400, "1 day"),
        (40 * 86_400, "40 days"),
    ],
)
def test_a_span_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text


@pytest.mark.parametrize(
    ("claim", "distance_seconds", "text"),
    [
        ("exp", -180, "2026-09-21 14:10:20 UTC, expired 3 minutes ago"),
        ("exp", 180, "2026-09-21 14:16:20 UTC, expires in 3 minutes"),
        ("exp", 0, "2026-09-21 14:13:20 UTC, expired less than a second ago"),
        ("nbf", -180, "2026-09-21 14:10:20 UTC, valid since 3 minutes ago"),
        ("nbf", 180, "2026-09-21 14:16:20 UTC, valid in 3 minutes"),
        ("iat", -180, "2026-09-21 14:10:20 UTC, issued 3 minutes ago"),
    ],
)
def test_a_date_is_told_with_its_distance(claim: str, distance_seconds: float, text: str) -> None:
    assert describe_date(claim, NOON + distance_seconds, now=NOON) == text


@given(st.floats(), st.floats(min_value=0, max_value=1e11))
def test_any_number_is_told_as_something(value: float, now: float) -> None:
    assert describe_date("exp", value, now=now)
