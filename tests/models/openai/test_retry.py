from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.models.openai.retry import RetryPolicy

_NOW = 1_767_225_600.0  # Thu, 01 Jan 2026 00:00:00 GMT
_POLICY = RetryPolicy(random=lambda: 0.0, now=lambda: _NOW)


def test_delays_double_up_to_the_limit() -> None:
    delays = [_POLICY.delay_seconds(done, {}) for done in (0, 1, 2, 3, 4, 5, 5000)]

    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


@given(st.integers(min_value=0, max_value=100), st.floats(min_value=0, max_value=1))
def test_jitter_takes_at_most_a_quarter(done: int, drawn: float) -> None:
    full = _POLICY.delay_seconds(done, {})
    delay = RetryPolicy(random=lambda: drawn).delay_seconds(done, {})

    assert full is not None
    assert delay is not None
    assert 0.75 * full <= delay <= full


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "junk", "retry-after": "7"}, 7.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:09 GMT"}, 9.0),
        ({"retry-after": "60"}, 60.0),
    ],
)
def test_the_delay_that_a_server_asks_for_is_kept(headers: dict[str, str], delay: float) -> None:
    assert _POLICY.delay_seconds(0, headers) == pytest.approx(delay)


@pytest.mark.parametrize("value", ["61", "1e300", "inf", "Thu, 01 Jan 2026 00:02:00 GMT"])
def test_a_server_that_asks_for_too_long_a_delay_is_not_asked_again(value: str) -> None:
    assert _POLICY.delay_seconds(0, {"retry-after": value}) is None


@pytest.mark.parametrize("value", ["0", "-3", "nan", "soon", "", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_delay_that_is_none_is_ignored(value: str) -> None:
    assert _POLICY.delay_seconds(0, {"retry-after": value}) == 0.5


def test_the_default_jitter_is_random() -> None:
    assert len({RetryPolicy().delay_seconds(0, {}) for _ in range(10)}) > 1
