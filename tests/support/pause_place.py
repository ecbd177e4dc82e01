"""A served place whose runs pause: model and tools do as they are told, and what they did is kept.

It is served in one loop, without a socket, so that a test says what happens beside what.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from licet.agent import Agent
from licet.agent.decisions import undecided
from licet.agent.output import RunOutput
from licet.authn.principal import owner_key
from licet.context import RunContext
from licet.db.base import Access
from licet.db.records import RunRecord, RunStatus, SessionKey
from licet.db.run_states import ENDED
from licet.db.sqlite import SqliteDb
from licet.models.base import ModelRequest, ModelResponse, OnText
from licet.models.message import FunctionCall, ToolCall
from licet.os import Heartbeat, RunQueue, Settings
from licet.runs.runner import Runner
from licet.tools import tool
from licet.tools.requirement import Wait
from tests.support.life import check_moves, crash, note_moves
from tests.support.sqlite import migrated
from tests.support.world import World

PEOPLE = ("olga", "otto")
WAYS = ("in the foreground", "durably", "by a schedule")
BOSS = "boss"
SCOPES = ("agents:run", "schedules:write", "approvals:read", "approvals:write")
EVERYBODY = Access("", sees_all=True)
DEADLINE_SECONDS = 30.0
OK, ACCEPTED, CREATED = 200, 202, 201
DECIDED = frozenset((OK, ACCEPTED))
# Revoked, forbidden, gone, too late, asked for what is not there, or nobody can say at present.
REFUSED = frozenset((401, 403, 404, 409, 422, 503))


class Call(NamedTuple):
    """One call of a tool in one run: its turn, and its place there."""

    run_id: str
    call_id: str


class NamingModel:
    """Calls the tools that a message names ("pay refund|look" are two turns), and then is done."""

    id, name, provider = "naming", "Naming", "Test"

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    async def respond(
        self,
        request: ModelRequest,
        *,
        on_text: OnText | None = None,
        on_reasoning: OnText | None = None,  # noqa: ARG002 - the protocol's
    ) -> ModelResponse:
        await self.open.wait()
        asked = next(m.content or "" for m in request.messages if m.role == "user")
        turns = asked.split("|")
        turn = sum(message.role == "assistant" for message in request.messages)
        if turn < len(turns):
            names = turns[turn].split()
            return ModelResponse(
                tool_calls=tuple(
                    ToolCall(f"{turn}-{place}", FunctionCall(name, json.dumps({"n": place})))
                    for place, name in enumerate(names)
                )
            )
        if on_text is not None:
            on_text("done")
        return ModelResponse(text="done")

    async def aclose(self) -> None:
        """Nothing is open."""


class PausePlace:
    """Agents ``casual`` and ``lasting``, the latter durable; tools ``look``, ``pay``, ``refund``.

    ``asked`` are the decisions that somebody asked for, ``taken`` those that were answered as
    taken; ``made`` are the calls of tools that need one, ``undecided`` those that had none.
    """

    def __init__(self, folder: Path) -> None:
        self.file = migrated(folder / "licet.db")
        self.db = SqliteDb(self.file)
        self.model = NamingModel()
        self.tools_open = asyncio.Event()
        self.tools_open.set()
        self.asked: set[tuple[Call, bool]] = set()
        self.taken: dict[Call, list[bool]] = defaultdict(list)
        self.made: list[Call] = []
        self.undecided: list[Call] = []
        self.durably: set[str] = set()
        self._pending: list[asyncio.Task[object]] = []
        tools = self._tools()
        self.world = World(
            db=self.db,
            agents=[
                Agent(id="casual", model=self.model, db=self.db, tools=tools),
                Agent(id="lasting", model=self.model, db=self.db, tools=tools, durable=True),
            ],
        )
        self._agent_os = self.world.agent_os(
            settings=Settings(
                max_failed_authentications=1_000_000,
                revocations_max_age_seconds=3600,
                shutdown_grace_seconds=0.2,
                run_queue=RunQueue(per_process=3),
                heartbeat=Heartbeat(beat_seconds=0.05, dead_seconds=0.5),
            )
        )
        self._app = self._agent_os.get_app()
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self._app), base_url="http://127.0.0.1"
        )

    def _tools(self) -> list[Any]:
        async def work(context: RunContext, *, needs_decision: bool) -> str:
            call = Call(context.run_id, context.idempotency_key.removeprefix(context.run_id)[1:])
            if needs_decision:
                self.made.append(call)
                if (call, True) not in self.asked:
                    self.undecided.append(call)
            await self.tools_open.wait()
            return "done"

        async def look(n: int, context: RunContext) -> str:
            return await work(context, needs_decision=False)

        @tool(requires_confirmation=True)
        async def pay(n: int, context: RunContext) -> str:
            return await work(context, needs_decision=True)

        @tool(approval="admin")
        async def refund(n: int, context: RunContext) -> str:
            return await work(context, needs_decision=True)

        return [look, pay, refund]

    # --- processes

    @property
    def runner(self) -> Runner:
        """The runs of the process that serves now."""
        return self._agent_os._server.runs

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """A process serves, and after each crash and restart another one."""
        async with self._app.router.lifespan_context(self._app):
            note_moves(self.file)
            yield
            self.let_all_go_on()
        await self._client.aclose()

    async def replace_the_process(self, *, killed: bool) -> None:
        """Its process ends, or is killed, and another one begins."""
        await (crash(self.runner) if killed else self.runner.close())
        self._agent_os._server._runner = None
        await self.runner.start()

    # --- people

    async def ask(
        self, method: str, path: str, who: str, *scopes: str, **given: Any
    ) -> httpx.Response:
        """Ask as somebody; nothing is answered but what it should be."""
        headers = self.world.bearer(who, *(scopes or SCOPES))
        answer = await self._client.request(method, path, headers=headers, **given)
        assert answer.is_success or answer.status_code in REFUSED, answer.text
        return answer

    async def beside(self, work: Coroutine[Any, Any, object], seconds: float = 0.02) -> None:
        """Let something go on beside what follows; a process that dies may break it off."""
        self._pending.append(asyncio.create_task(work))
        await asyncio.sleep(seconds)

    async def begin(self, way: str, *, who: str, message: str, session_id: str) -> None:
        """Have a run begun in one of ``WAYS``, and wait until it is answered."""
        if way == "by a schedule":
            await self._fire(who, message, session_id)
            return
        durable = way == "durably"
        form = {"message": message, "session_id": session_id, "stream": "false"}
        form["background"] = str(durable).lower()
        agent = "lasting" if durable else "casual"
        await self.ask("POST", f"/agents/{agent}/runs", who, data=form)

    async def _fire(self, who: str, message: str, session_id: str) -> None:
        body = {
            "name": f"{who} {time.monotonic_ns()}",
            "endpoint": "/agents/casual/runs",
            "payload": {"message": message, "session_id": session_id},
        }
        answer = await self.ask("POST", "/schedules", who, json=body)
        if answer.status_code == CREATED:
            await self.ask("POST", f"/schedules/{answer.json()['id']}/trigger", who)

    async def decide(self, run: RunRecord, *, yes: bool, durable: bool) -> None:
        """Its owner says of all calls that they may, or not, and goes on."""
        waiting = undecided(RunOutput.from_json(run.body))
        theirs = [each for each in waiting if each.waits_for is Wait.CONFIRMATION]
        calls = [Call(run.run_id, each.tool_call_id) for each in theirs]
        self.asked |= {(call, yes) for call in calls}
        if durable:
            self.durably.add(run.run_id)
        tools = [{"tool_call_id": call.call_id, "confirmed": yes} for call in calls]
        form = {"tools": json.dumps(tools), "stream": "false"}
        form["background"] = str(durable).lower()
        path = f"/agents/{run.component_id}/runs/{run.run_id}/continue"
        answer = await self.ask("POST", path, run.user_id or "", data=form)
        if answer.status_code in DECIDED:
            for call in calls:
                self.taken[call].append(yes)

    async def resolve(self, run: RunRecord, *, yes: bool) -> None:
        """Boss decides all that it waits for."""
        for approval in await self.db.approvals().of_run(run.run_id):
            if approval.resolution is None:
                call = Call(run.run_id, approval.tool_call_id)
                self.asked.add((call, yes))
                if await self._resolve(approval.id, BOSS, yes=yes) == OK:
                    self.taken[call].append(yes)

    async def resolve_own(self, run: RunRecord) -> None:
        """Its owner tries to approve it themselves."""
        for approval in await self.db.approvals().of_run(run.run_id):
            assert await self._resolve(approval.id, run.user_id or "", yes=True) != OK

    async def _resolve(self, approval_id: str, who: str, *, yes: bool) -> int:
        body = {"status": "approved" if yes else "rejected"}
        path = f"/approvals/{approval_id}/resolve"
        return (await self.ask("POST", path, who, json=body)).status_code

    async def cancel(self, run: RunRecord) -> None:
        """Its owner cancels it."""
        path = f"/agents/{run.component_id}/runs/{run.run_id}/cancel"
        await self.ask("POST", path, run.user_id or "")

    async def delete(self, who: str, session_id: str) -> None:
        """Delete a session with all of its runs."""
        key = SessionKey(owner_key("default", who), session_id)
        await self.db.store(EVERYBODY).delete_sessions([key])

    async def revoke(self, who: str) -> None:
        """Whatever somebody has begun until now is without authority."""
        body = {"subject": who}
        await self.ask("POST", "/revocations", "ada", "agent_os:admin", json=body)

    # --- what there is

    async def waiting(self) -> Sequence[RunRecord]:
        """The runs that wait for people; all, where none does."""
        runs = await self.runs()
        return [run for run in runs if run.status is RunStatus.PAUSED] or runs

    async def runs(self) -> Sequence[RunRecord]:
        """All runs, in the order in which they were begun."""
        with closing(sqlite3.connect(self.file)) as connection:
            ids = connection.execute("SELECT run_id FROM licet_runs ORDER BY created_at_us")
            found = [await self.db.store(EVERYBODY).find_run(run_id) for (run_id,) in ids]
        return [run for run in found if run is not None]

    def let_all_go_on(self) -> None:
        """Hold nothing back any more."""
        self.model.open.set()
        self.tools_open.set()

    async def until_all_ended(self) -> None:
        """Decide whatever waits, as often as it waits, and wait for all ends."""
        self.let_all_go_on()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while unended := [run for run in await self.runs() if run.status not in ENDED]:
            assert time.monotonic() < deadline, unended
            for run in unended:
                if run.status is RunStatus.PAUSED:
                    # Twice at once: that counts once, like everything.
                    resolving = partial(self.resolve, run, yes=True)
                    await asyncio.gather(resolving(), resolving())
                    deciding = partial(self.decide, run, yes=True, durable=False)
                    await asyncio.gather(deciding(), deciding())
            await asyncio.sleep(0.02)
        for ended in await asyncio.gather(*self._pending, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def check(self) -> None:
        """What must hold when all has ended."""
        check_moves(self.file)
        assert self.undecided == [], "made without a decision"
        for call, decisions in self.taken.items():
            assert len(decisions) == 1, (call, decisions)
        runs = {run.run_id: run for run in await self.runs()}
        for call in self.made:
            assert self.taken.get(call, [True]) == [True], call
            run = runs.get(call.run_id)
            if run is not None and not run.durable and call.run_id not in self.durably:
                assert self.made.count(call) == 1, call
        for call, (yes,) in self.taken.items():
            run = runs.get(call.run_id)
            if yes and run is not None and run.status is RunStatus.COMPLETED:
                assert call in self.made, call
