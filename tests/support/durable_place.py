"""A place of durable runs: a file, a model that does what it is told, and what its tools did."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from licet.agent import Agent
from licet.agent.output import RunOutput
from licet.context import RunContext
from licet.db.base import Access
from licet.db.records import RunRecord
from licet.db.sqlite import SqliteDb
from licet.db.work_records import JobRecord
from licet.errors import ModelUnavailableError
from licet.models.base import ModelRequest
from licet.os import Heartbeat, RunQueue, Settings
from licet.testing import CallTools, Fail, Say, ScriptedModel
from licet.testing.scripted import Turn
from tests.support.live import serve
from tests.support.sqlite import migrated
from tests.support.streams import Hold
from tests.support.world import OWNER, World

SECONDS = 60.0
TERMINAL = ("COMPLETED", "ERROR", "CANCELLED")


class DurablePlace:
    """Agent ``alpha`` runs durably where it is asked to, ``beta`` always.

    A message "say X" is answered X; "hold NAME X" the same, held after its first word until
    ``holds[NAME]`` opens; "work NAME" calls the tool ``work``, which waits for ``holds[NAME]``, and
    then says "done"; "twice NAME" calls it again before, with "NAME again"; "fail" fails
    until ``mended``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.db = SqliteDb(migrated(folder / "durable.db"), id="durable")
        self.holds: dict[str, Hold] = {}
        self.worked: list[str] = []
        self.mended = False
        self.asked: Counter[str] = Counter()
        self.world = World(db=self.db, model=ScriptedModel(self._turn))
        self.world.agents = [
            Agent(id="alpha", model=self.world.model, tools=[self.work]),
            Agent(id="beta", model=self.world.model, tools=[self.work], durable=True),
        ]

    def hold(self, name: str) -> Hold:
        """What holds runs of that name back."""
        return self.holds.setdefault(name, Hold())

    def open_all(self) -> None:
        """Hold nothing back any more."""
        for hold in self.holds.values():
            hold.opened.set()

    async def work(self, name: str, context: RunContext) -> str:
        """Work, as long as one is held."""
        self.worked.append(name)
        await self.hold(name).wait()
        return f"worked {context.idempotency_key}"

    def _turn(self, request: ModelRequest) -> Turn:
        (asked,) = [m.content or "" for m in request.messages if m.role == "user"]
        verb, _, rest = asked.partition(" ")
        calls = len([m for m in request.messages if m.role == "tool"])
        if calls == 0:
            self.asked[asked] += 1
        if verb in {"work", "twice"} and calls == 0:
            turn: Turn = CallTools(("work", {"name": rest}))
        elif verb == "twice" and calls == 1:
            turn = CallTools(("work", {"name": f"{rest} again"}))
        elif calls:
            turn = Say("done")
        elif verb == "hold":
            name, _, text = rest.partition(" ")
            turn = Say(text, hold=self.hold(name), hold_after=1)
        elif verb == "fail":
            error = ModelUnavailableError("the provider is away", provider="x")
            turn = Say("mended") if self.mended else Fail(error)
        else:
            turn = Say(rest)
        return turn

    @contextmanager
    def served(
        self,
        *,
        queue: RunQueue | None = None,
        heartbeat: Heartbeat | None = None,
        config: dict[str, Any] | None = None,
        **given: Any,
    ) -> Iterator[httpx.Client]:
        """A client of a server that runs until the block ends; it brings no token by itself."""
        settings = Settings(
            max_failed_authentications=1_000_000,
            shutdown_grace_seconds=1.0,
            run_queue=queue or RunQueue(),
            heartbeat=heartbeat or Heartbeat(),
        )
        app = self.world.agent_os(settings=settings, config=config or {}, **given).get_app()
        with (
            serve(app) as live,
            httpx.Client(base_url=live.url, timeout=SECONDS) as client,
        ):
            try:
                yield client
            finally:
                self.open_all()

    def bearer(self, subject: str = OWNER, **claims: Any) -> dict[str, str]:
        """Headers of somebody who may run every agent, and all about sessions."""
        scopes = ("agents:run", "sessions:read", "sessions:delete")
        return self.world.bearer(subject, *scopes, **claims)

    def stored(self, run_id: str) -> RunOutput:
        """The run as it is stored now."""
        record = self.record(run_id)
        assert record is not None
        return RunOutput.from_json(record.body)

    def record(self, run_id: str) -> RunRecord | None:
        """Its row; None: there is none."""
        everything = self.db.store(Access("", sees_all=True))

        async def find() -> RunRecord | None:
            return await everything.find_run(run_id)

        return asyncio.run(find())

    async def job(self, run_id: str) -> JobRecord | None:
        """What the run takes along."""
        return await self.db.work().job(run_id)

    def status(self, run_id: str) -> str:
        """Where the run stands."""
        record = self.record(run_id)
        return "" if record is None else record.status.value

    def ended(self, run_id: str) -> RunOutput:
        """The run, once it has ended."""
        wait_for(lambda: self.status(run_id) in TERMINAL, f"the end of {run_id}")
        return self.stored(run_id)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Look again and again until it holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def post(
    client: httpx.Client,
    headers: dict[str, str],
    message: str,
    agent: str = "alpha",
    **fields: Any,
) -> httpx.Response:
    """Run an agent; in the background unless it is said otherwise, and not streamed."""
    form = {"background": "true", "stream": "false", "message": message, **fields}
    return client.post(f"/agents/{agent}/runs", data=form, headers=headers)


def begun(answer: httpx.Response) -> str:
    """The id of a run that was taken."""
    assert answer.status_code == 202, answer.text
    body: dict[str, str] = answer.json()
    assert set(body) == {"run_id", "session_id", "status"}
    return body["run_id"]
