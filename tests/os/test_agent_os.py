"""An AgentOS from its making to its end: settings that are refused, life spans, shutdown."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse

from licet.agent import Agent
from licet.authn.principal import owner_key
from licet.db.base import Access
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunQuery, SessionKey
from licet.db.sqlite import SqliteDb
from licet.errors import ConfigurationError, LicetError, StorageError
from licet.os import AgentOS, AuthorizationConfig, Settings
from licet.os.environment import KEY_VARIABLE
from licet.testing import Say, ScriptedModel, TokenFactory
from tests.support.live import LiveServer, serve
from tests.support.world import OWNER, World

KEYS = TokenFactory()


def agent(name: str = "alpha", **given: Any) -> Agent:
    return Agent(id=name, model=ScriptedModel(["hi"], when_exhausted="repeat_last"), **given)


class TestRefusals:
    @pytest.mark.parametrize(
        ("given", "complaint"),
        [
            ({"authorization": True}, f"needs a key.*{KEY_VARIABLE}"),
            (
                {"authorization": True, "authorization_config": AuthorizationConfig()},
                "needs a key",
            ),
            (
                {"authorization_config": AuthorizationConfig(verification_keys=[KEYS.public_key])},
                "set authorization=True",
            ),
            ({"agents": [agent("a"), agent("b"), agent("a")]}, "two agents have the id 'a'"),
            ({"cors_allowed_origins": ["https://a.example", "*"]}, "name each origin"),
            ({"cors_allowed_origins": "https://a.example"}, "a list, not one text"),
        ],
    )
    def test_what_would_open_a_door_or_cannot_be_meant(
        self, given: dict[str, Any], complaint: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(KEY_VARIABLE, raising=False)
        with pytest.raises(ConfigurationError, match=complaint):
            AgentOS(db=InMemoryDb(), **given)

    @pytest.mark.parametrize("name", ["verification_keys", "algorithms", "required_claims"])
    def test_a_text_where_a_list_belongs(self, name: str) -> None:
        config: dict[str, Any] = {"verification_keys": [KEYS.public_key], name: "RS256"}
        with pytest.raises(ConfigurationError, match=f"{name} is a list"):
            AgentOS(
                db=InMemoryDb(),
                authorization=True,
                authorization_config=AuthorizationConfig(**config),
            )

    def test_a_route_of_licet_without_a_permission(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def careless(_server: object) -> APIRouter:
            router = APIRouter()
            router.get("/secrets")(lambda: "all of them")
            return router

        monkeypatch.setattr("licet.os.routers._MAKERS", (careless,))
        with pytest.raises(ConfigurationError, match="GET /secrets declares no permission"):
            World().agent_os().get_app()


class TestKeysOfTheEnvironment:
    def test_they_are_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World()
        monkeypatch.setenv(KEY_VARIABLE, world.tokens.public_key)
        app = AgentOS(id="env", agents=[agent()], db=InMemoryDb(), authorization=True).get_app()
        with serve(app) as server:
            answer = httpx.get(f"{server.url}/agents", headers=world.bearer(OWNER, "agents:read"))
            assert answer.status_code == 200

    def test_they_are_added_and_named_in_the_log(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        world, other = World(), TokenFactory(fresh_key=True)
        monkeypatch.setenv(KEY_VARIABLE, other.public_key)
        caplog.set_level("INFO", "licet")
        with serve(world.agent_os().get_app()) as server:
            # When it starts: before that a server has nowhere to write it.
            assert f"the verification key in {KEY_VARIABLE} is trusted too" in caplog.text
            assert "BEGIN" not in caplog.text
            for tokens in (world.tokens, other):
                headers = {"Authorization": f"Bearer {tokens.token(OWNER, scopes=['agents:read'])}"}
                assert httpx.get(f"{server.url}/agents", headers=headers).status_code == 200

    def test_the_same_key_twice_is_one(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = World()
        monkeypatch.setenv(KEY_VARIABLE, f"{world.tokens.public_key}\n")
        caplog.set_level("INFO", "licet")
        with serve(world.agent_os().get_app()):
            assert KEY_VARIABLE not in caplog.text


class TestNames:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({}, "agent-os"),
            ({"name": "My Lab (2)"}, "my-lab-2"),
            ({"name": "日本"}, "agent-os"),
            ({"name": "Lab", "id": "chosen"}, "chosen"),
        ],
    )
    def test_the_id_is_made_from_the_name(self, given: dict[str, str], expected: str) -> None:
        assert AgentOS(db=InMemoryDb(), **given).id == expected  # type: ignore[arg-type]  # texts only

    def test_the_policy_is_there_where_authorization_is(self) -> None:
        policy = World().agent_os().policy
        assert policy is not None
        assert policy.user_isolation
        assert AgentOS(db=InMemoryDb()).policy is None

    def test_the_app_is_made_once(self) -> None:
        os = World().agent_os()
        assert os.get_app() is os.get_app()


class TestDatabases:
    def test_without_any_it_is_a_file_beside_the_program(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with serve(AgentOS(agents=[agent()]).get_app()):
            assert (tmp_path / ".licet" / "licet.db").is_file()

    def test_the_one_database_of_all_agents_is_the_servers(self) -> None:
        db = InMemoryDb("shared")
        os = AgentOS(agents=[agent("a", db=db), agent("b", db=db)])
        with serve(os.get_app()) as server:
            assert httpx.get(f"{server.url}/config").json()["databases"] == ["shared"]

    def test_what_has_one_id_is_one_database(self, caplog: pytest.LogCaptureFixture) -> None:
        agents = [agent("a", db=InMemoryDb()), agent("b", db=InMemoryDb())]
        with serve(AgentOS(agents=agents, db=agents[0].db).get_app()) as server:
            for name in ("a", "b"):
                form = {"message": "hi", "stream": "false", "session_id": f"of-{name}"}
                httpx.post(f"{server.url}/agents/{name}/runs", data=form)
            listed = httpx.get(f"{server.url}/sessions").json()["data"]
        assert sorted(row["session_id"] for row in listed) == ["of-a", "of-b"]
        assert "agent 'b' uses the database 'in-memory' that was named first" in caplog.text


class Recorder:
    """What happened, in its order."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def lifespan(self, name: str, state: Mapping[str, Any] | None = None) -> Any:
        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any] | None]:
            self.events.append(f"{name} in")
            yield state
            self.events.append(f"{name} out")

        return lifespan


class RecordedDb(InMemoryDb):
    """Says when it is opened and closed."""

    def __init__(self, id: str, recorder: Recorder, *, broken: bool = False) -> None:
        super().__init__(id)
        self.recorder = recorder
        self.broken = broken

    async def open(self) -> None:
        if self.broken:
            raise StorageError("no such host")
        self.recorder.events.append(f"open {self.id}")

    async def close(self) -> None:
        self.recorder.events.append(f"close {self.id}")


class RecordedModel(ScriptedModel):
    """Says when it is closed."""

    recorder: Recorder

    async def aclose(self) -> None:
        self.recorder.events.append("close model")


class TestLife:
    def test_everything_is_opened_in_one_order_and_closed_in_the_opposite(self) -> None:
        recorder = Recorder()
        model = RecordedModel(["hi"])
        model.recorder = recorder
        base = FastAPI(lifespan=recorder.lifespan("base", {"a": 1, "b": 1}))

        @base.get("/state")
        async def state(request: Request) -> dict[str, int]:
            return {"a": request.state.a, "b": request.state.b}

        os = AgentOS(
            agents=[Agent(id="a", model=model, db=RecordedDb("second", recorder))],
            db=RecordedDb("main", recorder),
            base_app=base,
            lifespan=recorder.lifespan("user", {"b": 2}),
        )
        assert recorder.events == []
        with serve(os.get_app()) as server:
            assert recorder.events == ["open main", "open second", "base in", "user in"]
            assert httpx.get(f"{server.url}/state").json() == {"a": 1, "b": 2}
        assert recorder.events[4:] == [
            "user out",
            "base out",
            "close model",
            "close second",
            "close main",
        ]

    def test_what_was_opened_is_closed_when_the_rest_cannot_be(self) -> None:
        recorder = Recorder()
        broken = RecordedDb("second", recorder, broken=True)
        os = AgentOS(
            agents=[agent(db=broken)],
            db=RecordedDb("main", recorder),
            lifespan=recorder.lifespan("user"),
        )
        with pytest.raises(RuntimeError, match="did not start"), serve(os.get_app()):
            pass
        assert recorder.events == ["open main", "close main"]

    def test_a_database_works_again_after_a_restart(self, tmp_path: Path) -> None:
        db = SqliteDb(tmp_path / "licet.db")
        for count in (1, 2):
            with serve(AgentOS(agents=[agent()], db=db).get_app()) as server:
                httpx.post(f"{server.url}/sessions", json={})
                meta = httpx.get(f"{server.url}/sessions").json()["meta"]
                assert meta["total_count"] == count


class Hold:
    """Holds a model back until somebody opens it, from whatever thread."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    async def wait(self) -> object:
        return await asyncio.to_thread(self.opened.wait, 20)


class Never:
    """Holds a model back for ever."""

    async def wait(self) -> object:
        return await asyncio.Event().wait()


class TestShutdown:
    def stored_status(self, world: World) -> str:
        async def find() -> str:
            owner = owner_key("default", OWNER)
            store = world.db.store(Access(owner))
            (run,) = await store.list_runs(SessionKey(owner, "s"), RunQuery())
            return run.status.value

        return asyncio.run(find())

    def start_and_leave(self, world: World, url: str) -> None:
        form = {"message": "hi", "session_id": "s"}
        headers = world.bearer(OWNER, "agents:run")
        with httpx.stream("POST", f"{url}/agents/alpha/runs", data=form, headers=headers) as stream:
            for line in stream.iter_lines():
                if line == "event: RunContent":
                    return

    def test_runs_at_work_are_waited_for(self) -> None:
        hold, ended = Hold(), list[str]()
        world = World(model=ScriptedModel([Say("one two", hold=hold, hold_after=1)]))

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            yield
            ended.append(await asyncio.to_thread(self.stored_status, world))

        with serve(world.agent_os(lifespan=lifespan).get_app()) as server:
            self.start_and_leave(world, server.url)
            assert self.stored_status(world) == "RUNNING"
            opener = threading.Thread(target=self.open_when_deaf, args=(server, hold))
            opener.start()
        opener.join()
        assert ended == ["COMPLETED"], "what the lifespan has opened is there until runs end"

    def open_when_deaf(self, server: LiveServer, hold: Hold) -> None:
        """Let the model go on once the server takes no more requests."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection((server.host, server.port), timeout=1).close()
            except OSError:
                break
        hold.opened.set()

    def test_runs_that_take_too_long_are_cancelled_and_say_so(self) -> None:
        world = World(model=ScriptedModel([Say("one two", hold=Never(), hold_after=1)]))
        settings = Settings(shutdown_grace_seconds=0)
        with serve(world.agent_os(settings=settings).get_app()) as server:
            self.start_and_leave(world, server.url)
        assert self.stored_status(world) == "CANCELLED"


class TestAnAppOfOnesOwn:
    def test_its_answers_to_errors_stay_its_own(self) -> None:
        base = FastAPI()

        @base.exception_handler(LicetError)
        async def mine(request: Request, error: Exception) -> JSONResponse:
            return JSONResponse({"mine": str(error)}, status_code=418)

        @base.exception_handler(Exception)
        async def all_else(request: Request, error: Exception) -> JSONResponse:
            return JSONResponse({"mine": "oops"}, status_code=500)

        @base.get("/boom")
        async def boom() -> None:
            raise ValueError("secret detail")

        world = World()
        with serve(world.agent_os(base_app=base).get_app()) as server:
            answer = httpx.get(f"{server.url}/agents/nobody", headers=world.admin())
            assert (answer.status_code, answer.json()) == (418, {"mine": "Agent not found"})
            answer = httpx.get(f"{server.url}/boom", headers=world.admin())
            assert (answer.status_code, answer.json()) == (500, {"mine": "oops"})

    def test_its_docs_are_open_unless_docs_are_off(self) -> None:
        for docs, status in ((True, 200), (False, 401)):
            os = World().agent_os(base_app=FastAPI(), settings=Settings(docs=docs))
            with serve(os.get_app()) as server:
                assert httpx.get(f"{server.url}/openapi.json").status_code == status

    def test_an_app_without_docs_has_none(self) -> None:
        world = World()
        base = FastAPI(openapi_url=None)
        with serve(world.agent_os(base_app=base).get_app()) as server:
            assert httpx.get(f"{server.url}/docs").status_code == 401
            assert httpx.get(f"{server.url}/docs", headers=world.admin()).status_code == 404

    def test_unforeseen_errors_keep_their_text(self) -> None:
        base = FastAPI()

        @base.get("/boom")
        async def boom() -> None:
            raise ValueError("secret detail")

        world = World()
        with serve(world.agent_os(base_app=base).get_app()) as server:
            answer = httpx.get(f"{server.url}/boom", headers=world.admin())
        assert answer.status_code == 500
        assert answer.json() == {"detail": "Internal server error (ValueError)"}

    def test_it_serves_one_agent_os_alone(self) -> None:
        base = FastAPI()
        World().agent_os(base_app=base).get_app()
        with pytest.raises(ConfigurationError, match="serves another AgentOS already"):
            World().agent_os(base_app=base).get_app()

    def test_routes_of_licet_come_first_and_those_they_hide_are_named(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        base = FastAPI()

        @base.get("/health")
        async def health() -> str:
            return "mine"

        with serve(World().agent_os(base_app=base).get_app()) as server:
            assert httpx.get(f"{server.url}/health").json()["status"] == "ok"
        assert "GET /health of base_app is not reached" in caplog.text
