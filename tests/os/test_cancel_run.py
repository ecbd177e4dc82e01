"""Cancelling a run over a real socket, against a model server on another one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from licet.agent import Agent
from licet.agent.output import RunInput, RunOutput
from licet.authn.principal import owner_key
from licet.context import RunContext
from licet.db.base import Access, Db
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunRecord, RunStatus, SessionKey, SessionRecord
from licet.models.openai import OpenAIChat
from licet.os import AgentOS
from tests.support.live import serve
from tests.support.openai import scripted_openai
from tests.support.streams import ends, frames, until, whole
from tests.support.world import OWNER, World

SECONDS = 20
SCRIPT = {
    "rules": [
        {"match": "hang", "answers": [{"text": "one two", "fault": "hang", "fault_after": 3}]},
        {"match": "silent", "answers": [{"fault": "hang"}]},
        {
            "match": "work",
            "answers": [{"tool_calls": [{"name": "work", "arguments": {}}]}, {"text": "done"}],
        },
    ],
    "otherwise": {"text": "done"},
}


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    with scripted_openai(SCRIPT) as url:
        yield url


class Tools:
    """What a tool in a thread has heard."""

    def __init__(self) -> None:
        self.heard: list[str | None] = []

    def work(self, context: RunContext) -> str:
        """Work until one is told to stop."""
        if context.cancelled.wait_in_thread(SECONDS):
            self.heard.append(context.cancelled.reason)
        return "stopped"


class Place:
    """Two servers may share one: its database, its keys."""

    def __init__(self, model_url: str, db: Db | None = None) -> None:
        self.tools = Tools()
        model = OpenAIChat(id="m", base_url=f"{model_url}/v1", api_key="x")
        self.world = World(db=db or InMemoryDb())
        self.world.agents = [Agent(id="alpha", model=model, tools=[self.tools.work])]

    @contextmanager
    def served(self) -> Iterator[httpx.Client]:
        """Olga's client, of a server of its own."""
        headers = self.world.bearer(OWNER, "agents:run")
        with (
            serve(self.world.agent_os().get_app()) as server,
            httpx.Client(base_url=server.url, headers=headers, timeout=SECONDS) as client,
        ):
            yield client

    def stored(self, run_id: str) -> RunOutput:
        """The run as it is stored now."""

        async def find() -> RunRecord | None:
            owner = owner_key("default", OWNER)
            return await self.world.db.store(Access(owner)).get_run(SessionKey(owner, "s"), run_id)

        run = asyncio.run(find())
        assert run is not None
        return RunOutput.from_json(run.body)

    def put(self, status: RunStatus) -> None:
        """A run ``waits`` of Olga's that nobody works on."""
        owner = owner_key("default", OWNER)
        output = RunOutput(
            run_id="waits",
            session_id="s",
            agent_id="alpha",
            agent_name="Alpha",
            status=status,
            created_at=1,
            input=RunInput("hi"),
        )
        session = SessionRecord(owner=owner, session_id="s", created_at_us=1, updated_at_us=1)
        run = RunRecord(
            owner=owner,
            session_id="s",
            run_id="waits",
            component_id="alpha",
            status=RunStatus.PENDING if status is RunStatus.PENDING else RunStatus.RUNNING,
            body=output.to_json(),
            created_at_us=1,
            updated_at_us=1,
        )

        async def put() -> None:
            store = self.world.db.store(Access(owner))
            await store.begin_run(session, run, history_runs=0)
            await store.save_run(replace(run, status=status), session_state=None)

        asyncio.run(put())


@pytest.fixture(scope="module")
def place(model_url: str) -> Place:
    return Place(model_url)


@pytest.fixture(scope="module")
def client(place: Place) -> Iterator[httpx.Client]:
    with place.served() as made:
        yield made


def stats(model_url: str) -> dict[str, int]:
    found: dict[str, int] = httpx.get(f"{model_url}/_stats", timeout=SECONDS).json()
    return found


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"


def cancel(client: httpx.Client, run_id: str, **params: Any) -> httpx.Response:
    return client.post(f"/agents/alpha/runs/{run_id}/cancel", params=params)


def test_a_streamed_run_stops_and_the_model_server_sees_its_connection_close(
    place: Place, client: httpx.Client, model_url: str
) -> None:
    before = stats(model_url)["disconnects"]
    fields = {"message": "hang", "session_id": "s"}
    with client.stream("POST", "/agents/alpha/runs", data=fields) as answer:
        stream = frames(answer.iter_lines())
        run_id = until(stream, "RunContent")[-1].data["run_id"]
        asked = cancel(client, run_id, session_id="s")
        assert (asked.status_code, asked.json()) == (200, {})
        rest = list(stream)
    assert ends(rest) == ["RunCancelled"]
    last = rest[-1]
    assert last.name == "RunCancelled"
    assert last.data["reason"] == "cancelled by olga"
    assert last.data["content"].startswith("one")
    wait_for(lambda: stats(model_url)["disconnects"] > before, "the model's connection to close")
    stored = place.stored(run_id)
    assert (stored.status, stored.error_type) == (RunStatus.CANCELLED, "cancelled")
    assert (stored.cancellation_reason, stored.content) == (
        "cancelled by olga",
        last.data["content"],
    )
    assert ends(whole(client.get(f"/agents/alpha/runs/{run_id}/events").text)) == ["RunCancelled"]


def test_a_run_that_is_not_streamed_stops_in_the_midst_of_a_model_call(
    place: Place, client: httpx.Client, model_url: str
) -> None:
    before = stats(model_url)
    with ThreadPoolExecutor(1) as pool:
        fields = {"message": "silent", "session_id": "silent", "stream": "false"}
        answer = pool.submit(client.post, "/agents/alpha/runs", data=fields)
        wait_for(lambda: stats(model_url)["requests"] > before["requests"], "the model to be asked")
        (run,) = client.get("/agents/alpha/runs", params={"session_id": "silent"}).json()
        assert cancel(client, run["run_id"]).status_code == 200
        said = answer.result(SECONDS)
    assert (said.status_code, said.json()["status"]) == (200, "CANCELLED")
    assert said.json()["cancellation_reason"] == "cancelled by olga"
    wait_for(
        lambda: stats(model_url)["disconnects"] > before["disconnects"],
        "the model's connection to close",
    )


def test_a_tool_in_a_thread_is_told(place: Place, client: httpx.Client) -> None:
    place.tools.heard.clear()
    fields = {"message": "work", "session_id": "s"}
    with client.stream("POST", "/agents/alpha/runs", data=fields) as answer:
        stream = frames(answer.iter_lines())
        run_id = until(stream, "ToolCallStarted")[-1].data["run_id"]
        assert cancel(client, run_id).status_code == 200
        assert ends(stream) == ["RunCancelled"]
    wait_for(lambda: bool(place.tools.heard), "the tool to hear of it")
    assert place.tools.heard == ["cancelled by olga"]


def test_what_has_ended_cannot_be_cancelled(client: httpx.Client) -> None:
    run = client.post("/agents/alpha/runs", data={"message": "hi", "stream": "false"}).json()
    answer = cancel(client, run["run_id"])
    assert answer.status_code == 409
    assert answer.json() == {"detail": "The run has ended already: COMPLETED"}


@pytest.mark.parametrize("status", [RunStatus.PENDING, RunStatus.PAUSED])
def test_what_nobody_works_on_is_cancelled_at_once(model_url: str, status: RunStatus) -> None:
    place = Place(model_url)
    place.put(status)
    with place.served() as client:
        assert cancel(client, "waits").status_code == 200
        assert place.stored("waits").status is RunStatus.CANCELLED
        assert place.stored("waits").cancellation_reason == "cancelled by olga"
        assert cancel(client, "waits").status_code == 409
        assert ends(whole(client.get("/agents/alpha/runs/waits/events").text)) == ["RunCancelled"]


def test_a_run_of_another_server_is_stopped_there(place: Place, client: httpx.Client) -> None:
    other = Place("http://127.0.0.1:9", db=place.world.db)
    other.world.tokens = place.world.tokens
    fields = {"message": "hang", "session_id": "s"}
    with other.served() as elsewhere:
        with client.stream("POST", "/agents/alpha/runs", data=fields) as answer:
            stream = frames(answer.iter_lines())
            run_id = until(stream, "RunContent")[-1].data["run_id"]
            assert cancel(elsewhere, run_id).status_code == 200
            (last,) = [frame for frame in stream if frame.name.startswith("RunC")][-1:]
        assert last.name == "RunCancelled"
        stored = place.stored(run_id)
        assert (stored.status, stored.cancellation_reason) == (
            RunStatus.CANCELLED,
            last.data["reason"],
        )
        assert cancel(elsewhere, run_id).status_code == 409


def test_where_nobody_is_authenticated_nobody_is_named(model_url: str) -> None:
    model = OpenAIChat(id="m", base_url=f"{model_url}/v1", api_key="x")
    agent = Agent(id="alpha", model=model)
    app = AgentOS(agents=[agent], db=InMemoryDb()).get_app()
    with (
        serve(app) as server,
        httpx.Client(base_url=server.url, timeout=SECONDS) as client,
        client.stream("POST", "/agents/alpha/runs", data={"message": "hang"}) as answer,
    ):
        stream = frames(answer.iter_lines())
        run_id = until(stream, "RunContent")[-1].data["run_id"]
        assert cancel(client, run_id).status_code == 200
        *_, last = stream
    assert (last.name, last.data["reason"]) == ("RunCancelled", "cancelled")
