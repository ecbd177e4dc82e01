"""A provider that is away for a minute, under load: nobody with a known key notices."""

from __future__ import annotations

import time

import pytest

from tests.e2e.test_oidc_provider import questions_of, trusting
from tests.support.oidc import Load, oidc_provider

DOWN_SECONDS = 60.0


def test_a_minute_without_the_provider_fails_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with oidc_provider() as provider, trusting(provider) as live:
        (key,) = provider.published
        with Load(f"{live.url}/agents", *questions_of(provider, key)) as load:
            load.goes_on(each=25)
            provider.stop()
            before, began = load.answers, time.monotonic()
            while time.monotonic() - began < DOWN_SECONDS:
                load.goes_on(each=10)
            during = load.answers - before
            provider.start()
            load.goes_on(each=25)
        assert load.wrong == []
        assert during > 1000
        assert "the last good keys stay in force" in caplog.text
    print(f"{during} requests in {DOWN_SECONDS:g} s without the provider, 0 wrong answers")  # noqa: T201 - the figure
