"""How many connections a process has to its database, which the page for operators counts with."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from licet.agent import Agent
from licet.db.postgres import PostgresDb
from tests.deploy.parts import ROOT
from tests.support.live import serve
from tests.support.postgres import EmbeddedPostgres, connected, postgres_server, postgres_url
from tests.support.world import World

__all__ = ["postgres_server", "postgres_url"]

PAGE = (ROOT / "docs" / "deployment.md").read_text()
CLIENTS, RUNS_OF_EACH = 30, 3
NAME = "licet-counted"
COUNT = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"


def stated(what: str) -> int:
    """A number of the page's table of connections."""
    (row,) = re.findall(rf"^\| {re.escape(what)} \|.*\| (\d+) \|$", PAGE, re.MULTILINE)
    return int(row)


class Counted:
    """The most connections that there were at one time."""

    def __init__(self) -> None:
        self.most = 0

    @contextmanager
    def watching(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """Inside of the block, they are counted again and again."""
        stop = threading.Event()

        def count() -> None:
            while not stop.wait(0.005):
                row = connection.execute(COUNT, (NAME,)).fetchone()
                self.most = max(self.most, 0 if row is None else int(row[0]))

        thread = threading.Thread(target=count)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def world(postgres_url: str) -> World:
    world = World(db=PostgresDb(f"{postgres_url}&application_name={NAME}"))
    world.agents = [Agent(id="worker", model=world.model)]
    return world


@pytest.mark.parametrize("durable", [False, True], ids=["foreground", "durable"])
def test_a_process_under_load_has_no_more_connections_than_the_page_says(
    world: World, postgres_server: EmbeddedPostgres, *, durable: bool
) -> None:
    counted, headers = Counted(), world.bearer("olga", "agents:run", "sessions:read")
    with (
        connected(postgres_server, "postgres") as own,
        serve(world.agent_os().get_app()) as at,
        httpx.Client(base_url=at.url, headers=headers, timeout=60) as client,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):

        def ask(number: int) -> None:
            for turn in range(RUNS_OF_EACH):
                session = f"s{number}-{turn}"
                form = {"message": "go", "session_id": session, "background": str(durable).lower()}
                assert client.post("/agents/worker/runs", data=form).is_success
                assert client.get(f"/sessions/{session}/runs").is_success

        with counted.watching(own):
            list(pool.map(ask, range(CLIENTS)))
    usual, engine = stated("in all, without durable runs"), stated("in all, with durable runs")
    if durable:
        assert usual < counted.most <= engine
    else:
        assert 1 < counted.most <= usual
