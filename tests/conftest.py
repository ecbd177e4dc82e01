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

# What takes longest, so that no worker is left with it when the others have nothing to do.
LONG = (
    "tests/docs/test_documents.py",
    "tests/e2e/",
    "tests/deploy/",
    "tests/os/test_no_input_yields_a_500.py",
    "tests/db/embedded/test_server.py",
    "tests/runs/test_pause_life.py",
    "tests/models/test_llama_cpp.py",
    "tests/os/test_paused_authority.py",
    "tests/audit/test_chain_check.py",
    "tests/cli/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long; else the order stays."""

    def place(item: pytest.Item) -> int:
        found = (number for number, path in enumerate(LONG) if item.nodeid.startswith(path))
        return next(found, len(LONG))

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def one_tls_context() -> Iterator[None]:
    """Let all clients share what httpx makes anew for each: the authorities that it trusts.

    Reading them costs 30 ms of work, ten times what most requests of the tests do.
    """
    with pytest.MonkeyPatch.context() as patch:
        cached = functools.cache(httpx.create_ssl_context)
        patch.setattr("httpx._transports.default.create_ssl_context", cached)
        yield
