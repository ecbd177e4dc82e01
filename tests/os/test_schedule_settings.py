"""Schedules of servers that are set up otherwise; each has the engine of the process."""

from __future__ import annotations

from pathlib import Path

import httpx

from licet.agent import Agent
from licet.db.sqlite import SqliteDb
from licet.os import AgentOS, Settings
from licet.testing import Say, ScriptedModel
from tests.support.live import serve
from tests.support.world import OWNER, STRANGER, World


def test_each_owner_has_as_many_as_the_server_lets_them(tmp_path: Path) -> None:
    world = World(db=SqliteDb(tmp_path / "licet.db"))
    app = world.agent_os(settings=Settings(max_schedules=2)).get_app()
    body = {"endpoint": "/agents/alpha/runs", "payload": {"message": "hi"}}
    with serve(app) as live, httpx.Client(base_url=live.url) as client:
        for subject in (OWNER, STRANGER):
            headers = world.bearer(subject, "schedules:write", "agents:run")
            answers = [
                client.post("/schedules", json={**body, "name": name}, headers=headers)
                for name in "abc"
            ]
            assert [each.status_code for each in answers] == [201, 201, 409]
            assert answers[2].json()["detail"].startswith("There are 2 schedules already")


def test_without_authorization_schedules_are_nobodys_and_fire(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    agent = Agent(id="alpha", model=ScriptedModel([Say("hi")]), db=db)
    body = {"name": "n", "endpoint": "/agents/alpha/runs", "payload": {"message": "hi"}}
    app = AgentOS(agents=[agent], db=db).get_app()
    with serve(app) as live, httpx.Client(base_url=live.url, timeout=60) as client:
        made = client.post("/schedules", json=body).json()
        assert made["user_id"] is None
        came = client.post(f"/schedules/{made['id']}/trigger").json()
        assert came["status"] == "success"


async def test_an_app_that_is_served_without_its_lifespan_accepts_no_schedule(
    tmp_path: Path,
) -> None:
    world = World(db=SqliteDb(tmp_path / "licet.db"))
    app = world.agent_os().get_app()
    transport = httpx.ASGITransport(app)
    body = {"name": "n", "endpoint": "/agents/alpha/runs", "payload": {"message": "hi"}}
    headers = world.bearer(OWNER, "schedules:write", "agents:run")
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.post("/schedules", json=body, headers=headers)
    assert answer.status_code == 503
    assert answer.json() == {"detail": "Schedules are served by another process"}
    await app.state.agent_os.auditing.close()
    await world.db.close()
