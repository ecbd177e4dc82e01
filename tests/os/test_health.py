"""Whether the process lives, and whether requests may be sent to it, over a real socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.db.postgres import PostgresDb
from licet.errors import StorageError
from licet.os import AgentOS, AuthorizationConfig, KeyFetching, Settings
from licet.os.config import Heartbeat, TrustedIssuer
from licet.os.readiness import Databases
from licet.testing import Say, ScriptedModel
from tests.support.live import LiveServer, serve
from tests.support.oidc import oidc_provider
from tests.support.postgres import ROLE, EmbeddedPostgres, reachable_folder
from tests.support.process import free_port
from tests.support.streams import Hold, frames, until
from tests.support.world import ISSUER, OWNER, IssuerTokens, World

SECONDS = 30.0
READY = {"status": "ready", "database": "ok", "engine": "ok", "keys": "ok"}
NEVER_SECONDS = 3600.0


@contextmanager
def serving(world: World | None = None, **given: Any) -> Iterator[LiveServer]:
    with serve((world or World()).agent_os(**given).get_app()) as live:
        yield live


def ready(live: LiveServer) -> httpx.Response:
    """What is said now; the status says the same as the body, and nobody keeps it."""
    answer = httpx.get(f"{live.url}/health/ready", timeout=SECONDS)
    said = answer.json()["status"]
    assert (answer.status_code, said) in {(200, "ready"), (503, "not ready")}
    assert ("retry-after" in answer.headers) is (answer.status_code == 503)
    assert answer.headers["cache-control"] == "no-store"
    return answer


def wait_until(live: LiveServer, **parts: str) -> httpx.Response:
    """Ask until these parts are said to be in these states, and all others to be well."""
    expected = {**READY, **({"status": "not ready"} if parts else {}), **parts}
    deadline = time.monotonic() + SECONDS
    while (answer := ready(live)).json() != expected:
        assert time.monotonic() < deadline, f"it says {answer.text}"
        time.sleep(0.02)
    return answer


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_anybody_may_ask_also_by_head(path: str) -> None:
    with serving() as live:
        for headers in ({}, {"Authorization": "Bearer junk"}):
            assert httpx.get(live.url + path, headers=headers).status_code == 200
        head = httpx.head(live.url + path)
        assert (head.status_code, head.content) == (200, b"")


def test_a_server_that_is_well_says_so_part_by_part() -> None:
    with serving() as live:
        assert ready(live).json() == READY
        assert httpx.get(f"{live.url}/health/live").json() == {"status": "live"}


def test_without_authorization_there_are_no_keys_to_wait_for() -> None:
    app = AgentOS(agents=[Agent(id="a", model=ScriptedModel([]))], db=InMemoryDb()).get_app()
    with serve(app) as live:
        assert ready(live).json() == READY


def test_a_database_that_is_away_is_told_and_that_it_is_back() -> None:
    port = free_port()
    with (
        reachable_folder() as folder,
        EmbeddedPostgres(folder / "postgres", port=port) as postgres,
    ):
        postgres.create_role_and_database(ROLE)
        password = postgres.parameters(ROLE)["password"]
        settings = Settings(revocations_max_age_seconds=1.0, heartbeat=Heartbeat(dead_seconds=3))
        world = World(db=PostgresDb(postgres.url(ROLE)))
        with serving(world, settings=settings) as live:
            assert ready(live).json() == READY
            postgres.stop()
            answer = wait_until(
                live,
                database="cannot be reached",
                engine="is not heard of",
                keys="revocations are out of date",
            )
            for secret in ("127.0.0.1", str(port), ROLE, password):
                assert secret not in answer.text
            # What is wrong with its database is no reason to start the process anew.
            assert httpx.get(f"{live.url}/health/live").status_code == 200
            postgres.start()
            wait_until(live)


def test_keys_that_are_not_there_yet_are_waited_for() -> None:
    with oidc_provider() as provider:
        provider.stop()
        # What is tried again is tried soon.
        quick = KeyFetching(min_fresh_seconds=0.5, max_fresh_seconds=1.0, timeout_seconds=2.0)
        config = AuthorizationConfig(issuer=provider.url, discovery=True, key_fetching=quick)
        agents = [Agent(id="a", model=ScriptedModel([]))]
        app = AgentOS(
            agents=agents, db=InMemoryDb(), authorization=True, authorization_config=config
        ).get_app()
        with serve(app) as live:
            answer = wait_until(live, keys="are not there yet")
            assert provider.url not in answer.text
            provider.start()
            wait_until(live)


def test_one_issuer_whose_provider_is_away_takes_the_server_from_nobody_else() -> None:
    away = TrustedIssuer(
        alias="partner", issuer="https://b.test", jwks_url="http://127.0.0.1:9/keys"
    )
    world = World(tokens=IssuerTokens())
    with serving(world, config={"issuer": ISSUER, "issuers": [away]}) as live:
        assert ready(live).json() == READY


def test_revocations_that_nobody_has_read_for_too_long_are_told() -> None:
    # They are confirmed once a second.
    with serving(settings=Settings(revocations_max_age_seconds=0.01)) as live:
        wait_until(live, keys="revocations are out of date")


def test_a_process_that_is_not_heard_of_is_told() -> None:
    silent = Heartbeat(beat_seconds=NEVER_SECONDS, dead_seconds=0.01)
    with serving(settings=Settings(heartbeat=silent)) as live:
        wait_until(live, engine="is not heard of")


class Stopping:
    """Serves an app on, after it was told to stop: what a proxy that still asks would hear."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._life: AbstractAsyncContextManager[Any] = app.router.lifespan_context(app)
        self._stop: asyncio.Task[Any] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._app(scope, receive, send)
            return
        await receive()
        await self._life.__aenter__()
        self._loop = asyncio.get_running_loop()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._stop is not None:
            await self._stop
        await send({"type": "lifespan.shutdown.complete"})

    def stop(self) -> None:
        """Let the app's life end, which takes as long as its runs do."""

        def stop() -> None:
            self._stop = asyncio.ensure_future(self._life.__aexit__(None, None, None))

        self._loop.call_soon_threadsafe(stop)


def test_a_server_that_stops_is_not_ready_from_its_first_moment_on() -> None:
    hold = Hold()
    world = World(model=ScriptedModel([Say("one two", hold=hold, hold_after=1)]))
    settings = Settings(shutdown_grace_seconds=SECONDS)
    stopping = Stopping(world.agent_os(settings=settings).get_app())
    with serve(stopping) as live:
        assert ready(live).json() == READY
        url, headers = f"{live.url}/agents/alpha/runs", world.bearer(OWNER, "agents:run")
        with httpx.stream("POST", url, data={"message": "hi"}, headers=headers) as answer:
            stream = frames(answer.iter_lines())
            until(stream, "RunContent")
            stopping.stop()
            wait_until(live, engine="is stopping")
            assert httpx.get(f"{live.url}/health/live").status_code == 200
            hold.opened.set()
            assert until(stream, "RunCompleted")


class Counting(InMemoryDb):
    """A database that is slow, and counts how often it is asked whether it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.answers = asyncio.Event()
        self.away = False

    async def watch(self, topic: str, *, after: int, timeout_seconds: float) -> int:
        if timeout_seconds == 0:
            self.asked += 1
            await self.answers.wait()
            if self.away:
                raise StorageError("db.internal is away")
        return await super().watch(topic, after=after, timeout_seconds=timeout_seconds)


async def asked(databases: Databases, times: int) -> list[asyncio.Task[str]]:
    """So many ask at once, and wait."""
    tasks = [asyncio.create_task(databases.state()) for _ in range(times)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_all_who_ask_at_once_share_one_answer() -> None:
    db = Counting()
    databases = Databases([db], kept_seconds=NEVER_SECONDS)
    tasks = await asked(databases, 50)
    # One who leaves does not take it from the others.
    tasks[0].cancel()
    db.answers.set()
    assert set(await asyncio.gather(*tasks[1:])) == {"ok"}
    db.away = True
    assert await databases.state() == "ok"
    assert db.asked == 1


async def test_an_answer_is_not_given_for_ever() -> None:
    db = Counting()
    db.answers.set()
    databases = Databases([db], kept_seconds=0)
    assert await databases.state() == "ok"
    db.away = True
    assert await databases.state() == "cannot be reached"
    assert db.asked == 2


async def test_a_database_that_does_not_answer_is_not_waited_for() -> None:
    slow, quick = Counting(), InMemoryDb()
    databases = Databases([quick, slow], patience_seconds=0.05, kept_seconds=0)
    assert await databases.state() == "cannot be reached"
    slow.answers.set()
    assert await databases.state() == "ok"


def test_what_was_under_way_in_an_event_loop_that_ended_keeps_nobody_waiting() -> None:
    db = Counting()
    databases = Databases([db], kept_seconds=0)

    async def leave() -> None:
        await asked(databases, 1)

    # It ends with what is under way, which is cancelled with it or never goes on.
    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    db.answers = asyncio.Event()
    db.answers.set()
    assert asyncio.run(databases.state()) == "ok"
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
