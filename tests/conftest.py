from __future__ import annotations

import functools
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, settings

# What `make test` draws is the same everywhere, so that it passes or fails for what was changed;
# `make soak` draws anew each time, and ten times as much. How long an example takes says nothing on
# a busy machine.
settings.register_profile(
    "explore", max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "same", settings.get_profile("explore"), max_examples=40, derandomize=True
)
settings.load_profile("same")


@pytest.fixture(scope="session", autouse=True)
def one_tls_context() -> Iterator[None]:
    """Let all clients share what httpx makes anew for each: the authorities that it trusts.

    Reading them costs 30 ms of work, ten times what most requests of the tests do.
    """
    with pytest.MonkeyPatch.context() as patch:
        cached = functools.cache(httpx.create_ssl_context)
        patch.setattr("httpx._transports.default.create_ssl_context", cached)
        yield
