from __future__ import annotations

import math

import pytest

from licet.authn.key_fetching import KeyFetching
from licet.errors import ConfigurationError


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
def test_every_time_is_above_nothing(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="timeout_seconds is above 0"):
        KeyFetching(timeout_seconds=seconds)


def test_the_least_is_not_above_the_most() -> None:
    with pytest.raises(ConfigurationError, match="above max_fresh_seconds"):
        KeyFetching(min_fresh_seconds=2, max_fresh_seconds=1)
