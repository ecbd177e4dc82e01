"""A served place whose runs pause: what tools were called with, and what people say of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from licet.agent import Agent
from licet.db.base import Access, Db
from licet.db.records import RunRecord
from licet.db.sqlite import SqliteDb
from licet.models.base import ModelRequest
from licet.os import AgentOS, Settings
from licet.testing import CallTools, Say, ScriptedModel
from licet.testing.scripted import Turn
from licet.tools import tool
from tests.support.live import serve
from tests.support.sqlite import migrated
from tests.support.streams import Frame, whole
from tests.support.world import OWNER, World

SECONDS = 30.0
BOSS = "bo"
_ARGUMENTS = {"pay": "amount", "refund": "amount", "mail": "subject", "shell": "command"}
RunJson = dict[str, Any]


@dataclass
class Tools:
    """One tool for each thing that a call can wait for; ``made`` are the calls that were made."""

    made: list[str] = field(default_factory=list)

    def all(self) -> list[Any]:
        """As an agent is given them."""

        @tool(requires_confirmation=True)
        def pay(amount: int) -> str:
            """Pay."""
            return self._make(f"pay {amount}")

        @tool(approval="admin")
        def refund(amount: int) -> str:
            """Refund."""
            return self._make(f"refund {amount}")

        @tool(requires_user_input=True, user_input_fields=["to"])
        def mail(subject: str, to: str) -> str:
            """Mail."""
            return self._make(f"mail {subject} to {to}")

        @tool(external_execution=True)
        def shell(command: str) -> str:
            """Execute."""
            raise AssertionError(f"{command} was to be executed elsewhere")

        @tool
        def look(amount: int) -> str:
            """Look."""
            return self._make(f"look {amount}")

        return [pay, refund, mail, shell, look]

    def _make(self, call: str) -> str:
        self.made.append(call)
        return f"did {call}"


@dataclass(frozen=True)
class Paused:
    """A run that waits: its JSON as it was answered, and the agent whose it is."""

    json: RunJson
    agent: str

    @property
    def run_id(self) -> str:
        """Its id."""
        found: str = self.json["run_id"]
        return found

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The records of its calls, which today's clients send back."""
        found: list[dict[str, Any]] = self.json["tools"]
        return found

    def url(self, what: str = "", agent: str | None = None) -> str:
        """A route of the run."""
        return f"/agents/{agent or self.agent}/runs/{self.run_id}{what}"

    def saying(self, place: int = -1, **said: Any) -> dict[str, Any]:
        """What somebody says of one of its calls, by its id alone."""
        return {"tool_call_id": self.tools[place]["tool_call_id"], **said}


class PausePlace:
    """Agent ``alpha`` works in the foreground, ``beta`` durably.

    A message such as "pay 3 + refund 5 | look 1" has the model call two tools side by side, then a
    third one, and then say "done".
    """

    def __init__(
        self, folder: Path, db: Db | None = None, *, agents: Sequence[str] = ("alpha", "beta")
    ) -> None:
        self.tools = Tools()
        self.db = db or SqliteDb(migrated(folder / "pauses.db"), id="pauses")
        model = ScriptedModel(_turn)
        self.world = World(db=self.db, model=model)
        self.model = model
        self.world.agents = [
            Agent(id=name, model=model, tools=self.tools.all(), durable=name == "beta")
            for name in agents
        ]

    @contextmanager
    def served(self, **given: Any) -> Iterator[At]:
        """The place, served until the block ends."""
        given.setdefault("settings", Settings(max_failed_authentications=1_000_000))
        with self._client(self.world.agent_os(**given)) as client:
            yield At(self, client)

    @contextmanager
    def unguarded(self) -> Iterator[At]:
        """The same without authorization: tokens are not looked at."""
        with self._client(AgentOS(agents=self.world.agents, db=self.db)) as client:
            yield At(self, client)

    @contextmanager
    def _client(self, agent_os: AgentOS) -> Iterator[httpx.Client]:
        with (
            serve(agent_os.get_app()) as live,
            httpx.Client(base_url=live.url, timeout=SECONDS) as client,
        ):
            yield client

    def record(self, run_id: str) -> RunRecord:
        """The row of a run, as it is now."""
        found = asyncio.run(self.db.store(Access("", sees_all=True)).find_run(run_id))
        assert found is not None
        return found


class At:
    """The place as people see it: Olga, whose runs these are, and Bo, who decides."""

    def __init__(self, place: PausePlace, client: httpx.Client) -> None:
        self.place = place
        self.client = client
        self.olga = place.world.bearer(OWNER, "agents:run", "sessions:read", "sessions:delete")
        self.bo = self.decider(BOSS)

    def made(self) -> list[str]:
        """The calls that were made since this was asked last."""
        made, self.place.tools.made = self.place.tools.made, []
        return made

    def decider(self, subject: str, **claims: Any) -> dict[str, str]:
        """Headers of somebody who may run agents, and all about approvals."""
        scopes = ("agents:run", "approvals:read", "approvals:write", "approvals:delete")
        return self.place.world.bearer(subject, *scopes, **claims)

    def begin(
        self,
        message: str,
        agent: str = "alpha",
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Paused:
        """A run that pauses; Olga's, where nobody else is named."""
        form = {"message": message, "stream": "false", **fields}
        answer = self.client.post(f"/agents/{agent}/runs", data=form, headers=headers or self.olga)
        assert answer.status_code == 200, answer.text
        run = answer.json()
        assert run["status"] == "PAUSED", run
        return Paused(run, agent)

    def go_on(
        self,
        run: Paused,
        *tools: Any,
        headers: Mapping[str, str] | None = None,
        agent: str | None = None,
        **fields: Any,
    ) -> httpx.Response:
        """Go on with a run, as a form, and not streamed unless it is said otherwise."""
        form = {"tools": json.dumps(tools), "stream": "false", **fields}
        url = run.url("/continue", agent)
        return self.client.post(url, data=form, headers=headers or self.olga)

    def went_on(self, run: Paused, *tools: Any, **fields: Any) -> RunJson:
        """What a run came to that was gone on with."""
        answer = self.go_on(run, *tools, **fields)
        assert answer.status_code == 200, answer.text
        found: RunJson = answer.json()
        assert found["run_id"] == run.run_id
        return found

    def now(self, run: Paused, headers: Mapping[str, str] | None = None) -> RunJson:
        """A run as it is read now."""
        where = {"session_id": run.json["session_id"]}
        answer = self.client.get(run.url(), params=where, headers=headers or self.olga)
        assert answer.status_code == 200, answer.text
        found: RunJson = answer.json()
        return found

    def told(self, run: Paused, **headers: str) -> list[Frame]:
        """The events of a run, as somebody gets them who asks now, up to where they end."""
        answer = self.client.get(run.url("/events"), headers={**self.olga, **headers})
        assert answer.status_code == 200, answer.text
        return whole(answer.text)

    def approvals(self, run: Paused, **which: Any) -> list[dict[str, Any]]:
        """What others are to decide about a run, as Bo sees it; the latest first."""
        which = {"run_id": run.run_id, **which}
        answer = self.client.get("/approvals", params=which, headers=self.bo)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def approval(self, run: Paused) -> str:
        """The id of the only approval of a run."""
        (found,) = self.approvals(run)
        identifier: str = found["id"]
        return identifier

    def resolve(
        self,
        approval_id: str,
        status: str = "approved",
        headers: Mapping[str, str] | None = None,
        **given: Any,
    ) -> httpx.Response:
        """Decide an approval; as Bo, where nobody else is named."""
        return self.client.post(
            f"/approvals/{approval_id}/resolve",
            json={"status": status, **given},
            headers=headers or self.bo,
        )

    def revoke(self, **what: str) -> None:
        """Revoke a subject, or a token."""
        answer = self.client.post("/revocations", json=what, headers=self.place.world.admin())
        assert answer.status_code == 201, answer.text


def detail(answer: httpx.Response) -> str:
    """What a refusal says."""
    return str(answer.json()["detail"])


def _turn(request: ModelRequest) -> Turn:
    messages = list(request.messages)
    asked = max(place for place, message in enumerate(messages) if message.role == "user")
    turns = (messages[asked].content or "").split(" | ")
    behind = sum(message.role == "assistant" for message in messages[asked:])
    if behind >= len(turns):
        return Say("done")
    return CallTools(*(_call(each) for each in turns[behind].split(" + ")))


def _call(text: str) -> tuple[str, dict[str, Any]]:
    name, _, value = text.partition(" ")
    given: Any = int(value) if value.isdigit() else value
    return name, {_ARGUMENTS.get(name, "amount"): given}
