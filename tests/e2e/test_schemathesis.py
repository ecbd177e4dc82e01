"""The OpenAPI document against the server: what it generates yields no 5xx and no other status."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from licet.db.sqlite import SqliteDb
from licet.os import AgentOS
from tests.support.examples import examples
from tests.support.live import LiveServer, serve
from tests.support.world import CLIENT_ID, ISSUER, IssuerTokens, World

FOLDER = tempfile.TemporaryDirectory()
# A file: what is to outlive the process can be asked for, too.
WORLD = World(tokens=IssuerTokens(), db=SqliteDb(Path(FOLDER.name) / "licet.db"))


def agent_os() -> AgentOS:
    return WORLD.agent_os(config={"issuer": ISSUER, "oidc_client_id": CLIENT_ID})


SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(agent_os().get_app().openapi())))
OPERATIONS: list[Any] = [found.ok() for found in SCHEMA.get_all_operations()]  # type: ignore[union-attr]  # an operation that is none fails here
CALLERS = {
    "nobody": {},
    "somebody": WORLD.bearer("olga", "agents:run", "sessions:read", "schedules:write"),
    "administrator": WORLD.admin(),
}


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with serve(agent_os().get_app()) as live:
        yield live


def test_every_operation_is_tried() -> None:
    assert len(OPERATIONS) == 53


@pytest.mark.timeout(300)
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_no_5xx_and_no_status_that_is_not_in_the_document(
    server: LiveServer, operation: Any, caller: str
) -> None:
    @settings(
        max_examples=examples(0.12),
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def tried(case: Any) -> None:
        answer = case.call(base_url=server.url, headers=CALLERS[caller], timeout=30)
        case.validate_response(answer, checks=[not_a_server_error, status_code_conformance])

    tried()
