"""Where the client's environment is."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--client-python``: the interpreter that has the package agno."""
    parser.addoption("--client-python", required=True)


@pytest.fixture
def client_python(request: pytest.FixtureRequest) -> str:
    """The interpreter that has the package agno."""
    return str(request.config.getoption("--client-python"))
