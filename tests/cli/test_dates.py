from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.cli.dates import LAST_EPOCH_SECOND, parse_date, show_date
from licet.errors import InvalidInputError

NOON = 1_790_000_000


@pytest.mark.parametrize(
    "text",
    [
        "2026-09-21T14:13:20Z",
        "2026-09-21 16:13:20+02:00",
        "20260921T141320Z",
        "1790000000",
        "1790000000.0",
    ],
)
def test_a_moment_is_read_with_its_zone_or_as_epoch_seconds(text: str) -> None:
    assert parse_date(text, field="x") == NOON


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-09-21", "2026-09-21T14:13:20", "-1", "1e9", "nan", "253402300800", "١٧٩"],
)
def test_what_is_no_moment_everywhere_is_refused_and_the_option_is_named(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--issued-before: a time with its zone"):
        parse_date(text, field="--issued-before")


def test_a_stored_time_is_shown_in_utc_and_past_the_last_date_as_the_last() -> None:
    assert show_date(NOON * 1_000_000 + 999_999) == "2026-09-21 14:13:20 UTC"
    assert show_date(10**18) == "9999-12-31 23:59:59 UTC"


@given(st.integers(0, LAST_EPOCH_SECOND))
def test_what_is_shown_is_read_as_the_same_moment(seconds: int) -> None:
    shown = show_date(seconds * 1_000_000)
    assert parse_date(shown.replace(" UTC", "Z"), field="x") == seconds
