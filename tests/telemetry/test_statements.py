from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.telemetry.providers import Providers, resource
from licet.telemetry.statements import statements_observed
from tests.support.world import OWNER, World
from tests.telemetry.conftest import Observed


@pytest.fixture(params=["sqlite", "postgresql"])
def system(request: pytest.FixtureRequest) -> str:
    """The kind of database, as it is told."""
    kind: str = request.param
    return kind


@pytest.fixture
def observed(system: str, tmp_path: Path, request: pytest.FixtureRequest) -> Observed:
    """Looked on at, over a database that is asked by statements."""
    if system == "sqlite":
        return Observed(world=World(db=SqliteDb(tmp_path / "os.db")))
    return Observed(world=World(db=PostgresDb(db_url=request.getfixturevalue("postgres_url"))))


def test_a_statement_stands_below_the_request_that_it_is_for(
    observed: Observed, system: str
) -> None:
    with observed.served() as client:
        client.get("/sessions", headers=observed.world.bearer(OWNER, "sessions:read"))
    (request,) = observed.seen("GET")
    statements = observed.seen("SELECT")
    assert statements
    assert request.context is not None
    for span in statements:
        assert span.parent is not None
        assert span.parent.span_id == request.context.span_id
        # What kind it is; neither its text, nor where the database is.
        assert dict(span.attributes or {}) == {"db.system.name": system}
        assert span.name == "SELECT"


def test_what_the_server_asks_by_itself_is_no_trace(observed: Observed) -> None:
    with observed.served() as client:
        client.get("/health")
    assert observed.spans.get_finished_spans() == ()


def test_the_instrumentation_is_there_while_a_server_serves_and_once() -> None:
    instrumentor, plain = SQLAlchemyInstrumentor(), sqlalchemy.create_engine
    provider = Providers(resource("parcels", "1")).statements
    with statements_observed(provider):
        assert sqlalchemy.create_engine is not plain
        with statements_observed(provider):
            assert instrumentor.is_instrumented_by_opentelemetry
        assert instrumentor.is_instrumented_by_opentelemetry
    assert sqlalchemy.create_engine is plain
