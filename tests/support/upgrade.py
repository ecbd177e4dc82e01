"""Two versions of one program, whose agents pause, and the people who use them meanwhile."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from licet.testing import TokenFactory
from tests.support.survival import (
    ANSWER,
    DEADLINE_SECONDS,
    UNAVAILABLE,
    House,
    Replica,
    Seen,
    follow,
    script,
)

CONFLICT = 409
SERVER_ERROR = 500
SCOPES = ("agents:run", "sessions:read", "approvals:read", "approvals:write")

PROGRAM = """
import os
import time
from pathlib import Path

from licet.agent import Agent
from licet.context import RunContext
from licet.db.postgres import PostgresDb
from licet.models.openai import OpenAIChat
from licet.os import AgentOS, AuthorizationConfig, Heartbeat, Settings
from licet.tools import tool

VERSION = {version!r}
FILE = os.open({file!r}, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
MODEL = OpenAIChat(id="scripted", base_url={model!r}, api_key="none")


def note(number: int, context: RunContext) -> None:
    os.write(FILE, f"{{context.run_id}} {{number}} {{context.idempotency_key}}\\n".encode())


def step(number: int, context: RunContext) -> str:
    "One of three steps."
    note(number, context)
    time.sleep(0.1)
    context.session_state["done"].append(number)
    return f"step {{number}} is done"


@tool(description=f"Pay, as {{VERSION}} does it.", requires_confirmation=True)
def pay(amount: int, context: RunContext) -> str:
    note(amount, context)
    return f"{{VERSION}} paid {{amount}}"


@tool(description=f"Refund, as {{VERSION}} does it.", approval="admin")
def refund(amount: int, context: RunContext) -> str:
    note(amount, context)
    return f"{{VERSION}} refunded {{amount}}"


@tool(requires_user_input=True, user_input_fields=["to"])
def mail(subject: str, to: str, context: RunContext) -> str:
    "Mail."
    note(1, context)
    return f"{{VERSION}} mailed {{subject}} to {{to}}"


@tool(external_execution=True)
def shell(command: str) -> str:
    "Run a command elsewhere."
    raise AssertionError(command)


# What the owner confirms with A needs an approval with B.
needs = {{"requires_confirmation": True}} if VERSION == "A" else {{"approval": "admin"}}


@tool(**needs)
def drop(table: str, context: RunContext) -> str:
    "Drop a table."
    note(1, context)
    return f"{{VERSION}} dropped {{table}}"


@tool(requires_confirmation=True)
def legacy(context: RunContext) -> str:
    "Of A alone."
    note(1, context)
    return "done"


tools = [pay, refund, mail, shell, drop, *([legacy] if VERSION == "A" else [])]
worker = {{"model": MODEL, "tools": [step], "session_state": {{"done": []}}}}
agents = [
    Agent(id="worker", instructions=f"Work as {{VERSION}} does.", **worker),
    Agent(id="cashier", model=MODEL, tools=tools, instructions=f"You are {{VERSION}}."),
    *([Agent(id="newcomer", **worker)] if VERSION == "B" else []),
]
agent_os = AgentOS(
    id="os",
    agents=agents,
    db=PostgresDb(db_url={db!r}),
    authorization=True,
    authorization_config=AuthorizationConfig(verification_keys=[Path("public.pem").read_text()]),
    settings=Settings(
        heartbeat=Heartbeat(beat_seconds=0.25, dead_seconds=2.0), shutdown_grace_seconds=1.0
    ),
)
app = agent_os.get_app()
"""

CALLS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "pay": [{"name": "pay", "arguments": {"amount": 7}}],
    "refund": [{"name": "refund", "arguments": {"amount": 5}}],
    "both": [
        {"name": "pay", "arguments": {"amount": 7}},
        {"name": "refund", "arguments": {"amount": 5}},
    ],
    "mail": [{"name": "mail", "arguments": {"subject": "hi"}}],
    "shell": [{"name": "shell", "arguments": {"command": "ls"}}],
    "drop": [{"name": "drop", "arguments": {"table": "users"}}],
    "legacy": [{"name": "legacy", "arguments": {}}],
}
"""The calls that the model makes, by what it is asked."""

DECISIONS: Mapping[str, Mapping[str, Any]] = {
    "mail": {"user_input_schema": [{"name": "to", "value": "bob"}]},
    "shell": {"result": "a b c"},
}
"""What the owner says of a tool's call, where it is not yes."""


def says() -> dict[str, Any]:
    """What the model says: as ``script()``, slowly where asked to, and the calls above."""
    rules = [
        {"match": asked, "answers": [{"tool_calls": calls}, {"text": f"{asked} is decided"}]}
        for asked, calls in CALLS.items()
    ]
    slowly = {"match": "slow", "answers": [{"text": ANSWER, "pause_seconds": 0.4}]}
    return {"rules": [*script()["rules"], *rules, slowly]}


@dataclass
class People:
    """Olga, who has runs, and Boss, who decides approvals; they ask whichever replica is there."""

    at: House
    tokens: TokenFactory = field(default_factory=TokenFactory)
    statuses: list[int] = field(default_factory=list)
    _random: random.Random = field(default_factory=lambda: random.Random(3))  # noqa: S311 - the same choices each time
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self) -> str:
        """Of any replica that serves."""
        with self._lock:
            return self._random.choice(list(self.at.replicas)).url

    def headers(self, who: str = "olga", key: str | None = None) -> dict[str, str]:
        """A token, and the key of a request that is done once."""
        bearer = {"Authorization": f"Bearer {self.tokens.token(who, scopes=SCOPES)}"}
        return bearer if key is None else {**bearer, "Idempotency-Key": key}

    def ask(
        self,
        method: str,
        path: str,
        *,
        who: str = "olga",
        key: str | None = None,
        at: Replica | None = None,
        **given: Any,
    ) -> httpx.Response:
        """Ask until somebody answers: replicas that end refuse, or break off."""
        headers = self.headers(who, key)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            url = (self.url() if at is None else at.url) + path
            try:
                answer = httpx.request(method, url, headers=headers, timeout=60, **given)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            self.statuses.append(answer.status_code)
            if answer.status_code != UNAVAILABLE:
                return answer
            time.sleep(0.05)
        raise AssertionError(f"nobody answers {method} {path}")

    def begin(
        self, message: str, *, key: str, agent: str = "worker", at: Replica | None = None
    ) -> Seen:
        """A durable run, accepted."""
        form = {"message": message, "background": "true", "stream": "false"}
        answer = self.ask("POST", f"/agents/{agent}/runs", key=key, at=at, data=form)
        assert answer.status_code == 202, answer.text
        return self.seen(agent, answer.json())

    def begin_here(self, message: str, *, key: str, agent: str = "worker") -> dict[str, Any]:
        """A foreground run, as far as it came: to its end, or to a pause."""
        form = {"message": message, "stream": "false"}
        answer = self.ask("POST", f"/agents/{agent}/runs", key=key, data=form)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def stream(
        self,
        message: str,
        *,
        key: str,
        at: Replica | None = None,
        into: Seen | None = None,
        **form: str,
    ) -> Seen:
        """A run that is read from its first event on; over another replica where one breaks off."""
        seen = self.unseen() if into is None else into
        while not seen.events:
            url = self.url() if at is None else at.url
            headers, data = self.headers(key=key), {"message": message, "stream": "true", **form}
            try:
                with httpx.stream(
                    "POST", f"{url}/agents/worker/runs", data=data, headers=headers, timeout=60
                ) as answer:
                    self.statuses.append(answer.status_code)
                    seen.read(answer)
            except httpx.TransportError:
                at = None
        seen.run_id, seen.session_id = (seen.events[0][n] for n in ("run_id", "session_id"))
        follow(seen, self.url)
        return seen

    def unseen(self) -> Seen:
        """Of a run that is still to begin."""
        return self.seen("worker", {"run_id": "", "session_id": ""})

    def seen(self, agent: str, view: Mapping[str, Any]) -> Seen:
        """What Olga has seen of a run so far: nothing."""
        return Seen(view["run_id"], view["session_id"], agent, self.headers())

    def run(self, seen: Seen) -> dict[str, Any]:
        """A run as it is stored."""
        path = f"/agents/{seen.agent_id}/runs/{seen.run_id}"
        answer = self.ask("GET", path, params={"session_id": seen.session_id})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def until(self, seen: Seen, *statuses: str) -> dict[str, Any]:
        """The run, once it stands so."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            run = self.run(seen)
            if run["status"] in statuses:
                return run
            assert time.monotonic() < deadline, run
            time.sleep(0.05)

    def approvals(self, seen: Seen) -> list[dict[str, Any]]:
        """What a run waits for, or waited."""
        answer = self.ask("GET", "/approvals", who="boss", params={"run_id": seen.run_id})
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def approve(self, seen: Seen, status: str = "approved") -> None:
        """Boss decides all that a run waits for. Who is asked twice has decided it before."""
        for approval in self.approvals(seen):
            path = f"/approvals/{approval['id']}/resolve"
            answer = self.ask("POST", path, who="boss", json={"status": status})
            assert answer.status_code in {200, CONFLICT}, answer.text
            assert self.approvals(seen)[0]["status"] == status

    def go_on(self, seen: Seen, *, durable: bool) -> None:
        """Olga decides what she may, and goes on. Where that is broken off, it was begun."""
        tools = [
            {
                "tool_call_id": t["tool_call_id"],
                **DECISIONS.get(t["tool_name"], {"confirmed": True}),
            }
            for t in self.run(seen)["tools"]
            if t.get("approval_type") is None
        ]
        form = {
            "tools": json.dumps(tools),
            "stream": "false",
            "background": str(durable).lower(),
            "session_id": seen.session_id,
        }
        path = f"/agents/{seen.agent_id}/runs/{seen.run_id}/continue"
        answer = self.ask("POST", path, data=form)
        assert answer.status_code in {200, 202, CONFLICT}, answer.text
