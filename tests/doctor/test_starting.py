from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from licet.db.in_memory import InMemoryDb
from licet.doctor.starting import StartingCheck
from tests.doctor.deployments import FACTORY, deployed, found

KEYS = {"verification_keys": [FACTORY.public_key]}


def with_reports() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/reports")
    async def reports() -> str:
        return "all of them"

    return app


async def test_a_route_that_says_nothing_is_named() -> None:
    deployment = deployed(db=InMemoryDb(), base_app=with_reports())
    (finding,) = await found(StartingCheck(), deployment)
    assert (finding.kind.code, finding.where) == ("route_undeclared", "GET /reports")
    assert "agent_os:admin" in finding.what
    assert "scope_mappings" in finding.remedy


async def test_a_front_end_is_named_with_the_way_to_open_it(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hello")
    deployment = deployed(db=InMemoryDb())
    deployment.agent_os.get_app().frontend("/", directory=str(tmp_path))
    (finding,) = await found(StartingCheck(), deployment)
    assert (finding.kind.code, finding.where) == ("route_undeclared", "GET /{path:path}")
    assert "StaticFiles" in finding.remedy


async def test_a_mapped_route_is_right() -> None:
    config = {**KEYS, "scope_mappings": {"GET /reports": ["agents:read"]}}
    deployment = deployed(db=InMemoryDb(), base_app=with_reports(), config=config)
    assert await found(StartingCheck(), deployment) == []


async def test_a_rule_that_binds_to_no_route_is_told_as_the_start_tells_it() -> None:
    config = {**KEYS, "public_paths": ["/nowhere"]}
    (finding,) = await found(StartingCheck(), deployed(db=InMemoryDb(), config=config))
    assert finding.kind.code == "startup_refused"
    assert "/nowhere" in finding.what


async def test_without_authorization_no_route_has_to_say_anything() -> None:
    deployment = deployed(db=InMemoryDb(), base_app=with_reports(), authorization=False)
    assert list(await found(StartingCheck(), deployment)) == []
