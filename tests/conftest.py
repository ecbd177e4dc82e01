from __future__ import annotations

import functools
from collections.abc import Iterator

import httpx
import pytest


@pytest.fixture(scope="session", autouse=True)
def one_tls_context() -> Iterator[None]:
    """Let all clients share what httpx makes anew for each: the authorities that it trusts.

    Reading them costs 30 ms of work, ten times what most requests of the tests do.
    """
    with pytest.MonkeyPatch.context() as patch:
        cached = functools.cache(httpx.create_ssl_context)
        patch.setattr("httpx._transports.default.create_ssl_context", cached)
        yield
