"""A provider that is away for a minute, under load: nobody with a known key notices."""

from __future__ import annotations

import pytest

from tests.e2e.test_oidc_provider import AWAY, weather_the_storm
from tests.support.oidc import oidc_provider

AWAY_SECONDS = 60.0


@pytest.mark.parametrize("away", AWAY)
def test_a_minute_without_the_provider_fails_nobody(
    caplog: pytest.LogCaptureFixture, away: str
) -> None:
    with oidc_provider() as provider:
        during = weather_the_storm(provider, away, seconds=AWAY_SECONDS)
    assert during > 1000
    assert "the last good keys stay in force" in caplog.text
    print(f"{during} requests in {AWAY_SECONDS:g} s while it {away}, 0 wrong answers")  # noqa: T201 - the figure
