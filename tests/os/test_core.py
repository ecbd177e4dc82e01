"""What the server says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from licet import __version__
from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS, Settings
from licet.testing import ScriptedModel
from tests.support.live import LiveServer, serve
from tests.support.world import OS_ID, OWNER, World

CHAT = "http://localhost:3000"
AGENTS = (
    Agent(id="alpha", name="Alpha", model=ScriptedModel([], id="m2", provider="p2")),
    Agent(
        id="beta",
        model=ScriptedModel([], id="m1", provider="p1"),
        description="Answers",
        metadata={"team": "blue"},
        db=InMemoryDb("archive"),
    ),
    Agent(id="gamma", model=ScriptedModel([], id="m1", provider="p1")),
)


@pytest.fixture(scope="module")
def world() -> World:
    return World(agents=AGENTS)


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[LiveServer]:
    os = world.agent_os(
        name="Lab", description="For trials", version="2.1", cors_allowed_origins=[CHAT]
    )
    with serve(os.get_app()) as live:
        yield live


def get(server: LiveServer, path: str, headers: dict[str, str] | None = None) -> Any:
    answer = httpx.get(server.url + path, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


class TestPublic:
    def test_the_root_tells_where_things_are(self, server: LiveServer) -> None:
        assert get(server, "/") == {
            "name": "Lab",
            "health": "/health",
            "info": "/info",
            "docs": "/docs",
        }

    def test_health_tells_since_when(self, server: LiveServer) -> None:
        body = get(server, "/health")
        assert body["status"] == "ok"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["instantiated_at"])
        assert get(server, "/health") == body

    def test_info_tells_what_kind_of_server_it_is(self, server: LiveServer) -> None:
        assert get(server, "/info") == {
            "os_id": OS_ID,
            "name": "Lab",
            "os_version": "2.1",
            "licet_version": __version__,
            "agent_count": 3,
            "team_count": 0,
            "workflow_count": 0,
            "mcp": {"enabled": False, "tool_run_endpoint": False},
            "auth_mode": "jwt",
            "user_isolation": True,
        }

    def test_without_authorization_info_says_so(self) -> None:
        with serve(AgentOS(agents=AGENTS[:1], db=InMemoryDb()).get_app()) as server:
            body = get(server, "/info")
            assert get(server, "/")["name"] == "Licet"
        assert (body["auth_mode"], body["user_isolation"]) == ("none", False)
        assert body["os_id"] == "agent-os"
        assert "name" not in body


class TestConfig:
    def test_it_is_what_clients_require(self, server: LiveServer, world: World) -> None:
        body = get(server, "/config", world.bearer(OWNER, "config:read", "agents:read"))
        dbs = [
            {"db_id": name, "domain_config": {"display_name": name}}
            for name in ("in-memory", "archive")
        ]
        assert body == {
            "os_id": OS_ID,
            "name": "Lab",
            "description": "For trials",
            "available_models": [{"id": "m1", "provider": "p1"}, {"id": "m2", "provider": "p2"}],
            "databases": ["in-memory", "archive"],
            "session": {"display_name": "Sessions", "dbs": dbs},
            "agents": [
                {
                    "id": "alpha",
                    "name": "Alpha",
                    "db_id": "in-memory",
                    "model": {"id": "m2", "provider": "p2"},
                },
                {
                    "id": "beta",
                    "name": "beta",
                    "description": "Answers",
                    "db_id": "archive",
                    "model": {"id": "m1", "provider": "p1"},
                    "metadata": {"team": "blue"},
                },
                {
                    "id": "gamma",
                    "name": "gamma",
                    "db_id": "in-memory",
                    "model": {"id": "m1", "provider": "p1"},
                },
            ],
            "teams": [],
            "workflows": [],
            "interfaces": [],
            "company": None,
        }

    @pytest.mark.parametrize(
        ("scopes", "expected"),
        [
            ([], []),
            (["agents:read"], ["alpha", "beta", "gamma"]),
            (["agents:*:read"], ["alpha", "beta", "gamma"]),
            (["agents:beta:read", "agents:alpha:run"], ["beta"]),
            (["agents:gamma:read", "agents:alpha:read"], ["alpha", "gamma"]),
            (["agents:run"], []),
        ],
    )
    def test_the_roster_holds_what_the_caller_may_see(
        self, server: LiveServer, world: World, scopes: list[str], expected: list[str]
    ) -> None:
        body = get(server, "/config", world.bearer(OWNER, "config:read", *scopes))
        assert [agent["id"] for agent in body["agents"]] == expected

    def test_the_administrator_and_the_open_server_show_all(
        self, server: LiveServer, world: World
    ) -> None:
        assert len(get(server, "/config", world.admin())["agents"]) == 3
        with serve(AgentOS(agents=AGENTS[:1], db=InMemoryDb()).get_app()) as open_server:
            assert len(get(open_server, "/config")["agents"]) == 1

    def test_models_are_named_once_each(self, server: LiveServer, world: World) -> None:
        assert get(server, "/models", world.bearer(OWNER, "config:read")) == [
            {"id": "m1", "provider": "p1"},
            {"id": "m2", "provider": "p2"},
        ]


class TestAgents:
    def test_an_agent_is_shown_with_its_tools_and_settings(self) -> None:
        def add(first: int, second: int) -> int:
            """Add two numbers."""
            return first + second

        shown = Agent(
            id="shown",
            model=ScriptedModel([], id="m"),
            tools=[add],
            instructions=["Be brief.", "Be kind."],
            add_history_to_context=True,
            markdown=True,
        )
        world = World(agents=[shown])
        with serve(world.agent_os().get_app()) as server:
            body = get(server, "/agents/shown", world.bearer(OWNER, "agents:shown:read"))
        (tool,) = body.pop("tools")["tools"]
        assert (tool["name"], tool["description"]) == ("add", "Add two numbers.")
        assert sorted(tool["parameters"]["properties"]) == ["first", "second"]
        assert body == {
            "id": "shown",
            "name": "shown",
            "db_id": "in-memory",
            "model": {"name": "ScriptedModel", "model": "m", "provider": "licet"},
            "sessions": {"add_history_to_context": True},
            "system_message": {"instructions": ["Be brief.", "Be kind."], "markdown": True},
        }


class TestDocs:
    PATHS = ("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")

    def test_they_are_there_for_everybody(self, server: LiveServer) -> None:
        for path in self.PATHS:
            assert httpx.get(server.url + path).status_code == 200

    def test_they_can_be_left_out(self) -> None:
        world = World()
        with serve(world.agent_os(settings=Settings(docs=False)).get_app()) as server:
            assert "docs" not in get(server, "/")
            for path in self.PATHS:
                assert httpx.get(server.url + path).status_code == 401
                assert httpx.get(server.url + path, headers=world.admin()).status_code == 404

    def test_the_document_says_who_and_what_this_is(self, server: LiveServer) -> None:
        document = get(server, "/openapi.json")
        assert document["info"] == {"title": "Lab", "description": "For trials", "version": "2.1"}
        assert document == get(server, "/openapi.json")


class TestCors:
    def test_there_is_none_by_default(self) -> None:
        world = World()
        with serve(world.agent_os().get_app()) as server:
            for headers in ({}, world.admin()):
                answer = httpx.get(f"{server.url}/agents", headers={"Origin": CHAT, **headers})
                assert not [name for name in answer.headers if name.startswith("access-control")]
            preflight = httpx.options(f"{server.url}/agents", headers=self.preflight(CHAT))
            assert preflight.status_code == 401
            assert "access-control-allow-origin" not in preflight.headers

    def test_pages_of_an_allowed_origin_can_read_refusals_too(
        self, server: LiveServer, world: World
    ) -> None:
        for headers, status in (
            ({}, 401),
            (world.bearer(OWNER, "config:read"), 403),
            (world.bearer(OWNER, "agents:read"), 200),
        ):
            answer = httpx.get(f"{server.url}/agents", headers={"Origin": CHAT, **headers})
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == CHAT
            assert "access-control-allow-credentials" not in answer.headers

    def test_a_preflight_needs_no_token(self, server: LiveServer) -> None:
        answer = httpx.options(f"{server.url}/agents/alpha/runs", headers=self.preflight(CHAT))
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == CHAT
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()

    @pytest.mark.parametrize("origin", ["http://localhost:3001", "https://evil.example", "null"])
    def test_other_origins_get_nothing(self, server: LiveServer, world: World, origin: str) -> None:
        refused = httpx.options(f"{server.url}/agents", headers=self.preflight(origin))
        assert refused.status_code == 400
        answer = httpx.get(f"{server.url}/agents", headers={"Origin": origin, **world.admin()})
        assert "access-control-allow-origin" not in answer.headers

    def preflight(self, origin: str) -> dict[str, str]:
        """Headers of a browser's question before a request of another origin."""
        return {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
