"""Runs that wait for people, over real processes: the program, the people, what was called."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from licet.testing import TokenFactory
from tests.support.survival import House, Replica, house

DEADLINE_SECONDS = 60.0
ANSWER = "it is done"

_PROGRAM = """
import os
import time
from pathlib import Path

from licet.agent import Agent
from licet.context import RunContext
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.models.openai import OpenAIChat
from licet.os import AgentOS, AuthorizationConfig, Heartbeat, Settings
from licet.tools import tool

FILE = os.open({file!r}, os.O_APPEND | os.O_CREAT | os.O_WRONLY)


def note(what: str, context: RunContext) -> None:
    line = f"{{what}} {{context.run_id}} {{context.idempotency_key}} {{os.getpid()}}"
    os.write(FILE, f"{{line}}\\n".encode())


@tool(requires_confirmation=True)
def pay(amount: int, context: RunContext) -> str:
    "Pay an amount."
    note("pay", context)
    return f"paid {{amount}}"


@tool(approval="admin")
def refund(amount: int, context: RunContext) -> str:
    "Give an amount back."
    note("refund", context)
    return f"gave {{amount}} back"


def report(context: RunContext) -> str:
    "Report it to an office, and wait until that is open."
    note("report", context)
    while not Path("open").exists():
        time.sleep(0.02)
    return "reported"


agent_os = AgentOS(
    id="os",
    agents=[
        Agent(
            id="clerk",
            model=OpenAIChat(id="scripted", base_url={model!r}, api_key="none"),
            tools=[pay, refund, report],
        )
    ],
    db={db},
    authorization=True,
    authorization_config=AuthorizationConfig(verification_keys=[Path("public.pem").read_text()]),
    settings=Settings(heartbeat=Heartbeat(beat_seconds=0.25, dead_seconds=2.0)),
)
app = agent_os.get_app()
"""


def _calls(*names: str) -> dict[str, Any]:
    # Each call has an id of its own: no two pauses look the same.
    return {
        "tool_calls": [
            {"id": name, "name": name.partition("-")[0], "arguments": arguments}
            for name in names
            for arguments in ({} if name.startswith("report") else {"amount": 5},)
        ]
    }


SCRIPT = {
    "rules": [
        {"match": message, "answers": [*turns, {"text": ANSWER}]}
        for message, turns in (
            ("pay, then report", (_calls("pay-1"), _calls("report-1"))),
            ("pay and refund", (_calls("pay-1", "refund-1"),)),
            ("pay twice", (_calls("pay-1"), _calls("pay-2"))),
            ("pay", (_calls("pay-1"),)),
            ("refund, then report", (_calls("refund-1"), _calls("report-1"))),
            ("refund both", (_calls("refund-1", "refund-2"),)),
            ("refund twice", (_calls("refund-1"), _calls("refund-2"))),
            ("refund", (_calls("refund-1"),)),
        )
    ]
}


_SCOPES = {"uma": ("agents:run",), "admin": ("agent_os:admin",)}
_APPROVES = ("approvals:read", "approvals:write")


class Call(NamedTuple):
    """A call of a tool that was begun: in which process, and under which key."""

    tool: str
    run_id: str
    key: str
    pid: int


@dataclass(eq=False)
class Office:
    """Replicas of one program. Uma asks its clerk; Ada and Bob decide what waits for approval."""

    house: House
    tokens: TokenFactory
    _token_of: dict[str, str] = field(default_factory=dict)

    @property
    def replicas(self) -> Sequence[Replica]:
        """Those that live."""
        return self.house.replicas

    def start(self, replicas: int) -> None:
        """So many processes more, all of which serve."""
        for _ in range(replicas):
            self.house.start()
        self.house.wait_until_serving()

    def open(self) -> None:
        """From here on, reports are taken."""
        (self.house.folder / "open").touch()

    def ask(self, at: Replica, who: str, method: str, path: str, **given: Any) -> httpx.Response:
        """Ask one of the processes as somebody."""
        with self.asking(at, who, method, path, **given) as answer:
            answer.read()
            return answer

    @contextmanager
    def asking(
        self, at: Replica, who: str, method: str, path: str, **given: Any
    ) -> Iterator[httpx.Response]:
        """The answer as it comes; whoever asks has left at the end of the block."""
        if who not in self._token_of:
            # One each: a revocation counts for what was issued before.
            self._token_of[who] = self.tokens.token(who, scopes=_SCOPES.get(who, _APPROVES))
        headers = {"Authorization": f"Bearer {self._token_of[who]}"}
        with httpx.stream(
            method, f"{at.url}{path}", headers=headers, timeout=DEADLINE_SECONDS, **given
        ) as answer:
            yield answer

    def begin(self, at: Replica, message: str, *, durable: bool = False) -> dict[str, Any]:
        """Have Uma ask the clerk, and wait until the run waits for people."""
        form = {"message": message, "stream": "false", "background": str(durable).lower()}
        asked = self.ask(at, "uma", "POST", "/agents/clerk/runs", data=form)
        assert asked.status_code == (202 if durable else 200), asked.text
        return self.reached(at, asked.json(), "PAUSED")

    def run(self, at: Replica, run: Mapping[str, Any], *, who: str = "uma") -> dict[str, Any]:
        """The run as it stands now."""
        path = f"/agents/clerk/runs/{run['run_id']}?session_id={run['session_id']}"
        found = self.ask(at, who, "GET", path)
        assert found.status_code == 200, found.text
        return dict(found.json())

    def reached(
        self, at: Replica, run: Mapping[str, Any], *status: str, who: str = "uma"
    ) -> dict[str, Any]:
        """The run, once it has that status, or one of those."""
        until(lambda: self.run(at, run, who=who)["status"] in status, f"{status} of {run}")
        return self.run(at, run, who=who)

    def ended(self, at: Replica, run: Mapping[str, Any]) -> dict[str, Any]:
        """The run, once it has ended."""
        return self.reached(at, run, "COMPLETED", "ERROR", "CANCELLED")

    def go_on(
        self, at: Replica, run: Mapping[str, Any], *decided: Mapping[str, Any], **form: str
    ) -> httpx.Response:
        """Have Uma go on with a run, with what she decided of its calls."""
        path = f"/agents/clerk/runs/{run['run_id']}/continue"
        body = {"tools": json.dumps(decided), "stream": "false", **form}
        return self.ask(at, "uma", "POST", path, data=body)

    def approvals(self, at: Replica, run: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What a run has waited for that others decide, the latest first."""
        found = self.ask(at, "ada", "GET", f"/approvals?run_id={run['run_id']}")
        assert found.status_code == 200, found.text
        return list(found.json()["data"])

    def resolve(
        self, at: Replica, approval: Mapping[str, Any], status: str = "approved", who: str = "ada"
    ) -> httpx.Response:
        """Have somebody decide."""
        path = f"/approvals/{approval['id']}/resolve"
        return self.ask(at, who, "POST", path, json={"status": status})

    def events(self, at: Replica, run: Mapping[str, Any], *, after: int = -1) -> list[Any]:
        """The events of a run above an index, to its end, or to where it waits."""
        path = f"/agents/clerk/runs/{run['run_id']}/events?last_event_index={after}"
        return told(self.ask(at, "uma", "GET", path))

    def calls(self, run: Mapping[str, Any]) -> list[Call]:
        """The calls of tools that were begun for a run, in their order."""
        file = self.house.calls_file
        lines = file.read_text().splitlines() if file.exists() else []
        calls = [
            Call(tool, run_id, key, int(pid)) for tool, run_id, key, pid in map(str.split, lines)
        ]
        return [call for call in calls if call.run_id == run["run_id"]]

    def where(self, pid: int) -> Replica:
        """The process of that id."""
        return next(each for each in self.replicas if each.process.popen.pid == pid)


@contextmanager
def office(folder: Path, db: str, *, replicas: int) -> Iterator[Office]:
    """So many processes of one database, all of which serve."""
    tokens = TokenFactory()
    (folder / "public.pem").write_text(tokens.public_key)
    with house(folder, db, program=_PROGRAM, says=SCRIPT) as at:
        made = Office(at, tokens)
        made.start(replicas)
        yield made


def yes(call_id: str) -> dict[str, Any]:
    """That a call is confirmed."""
    return {"tool_call_id": call_id, "confirmed": True}


def told(answer: httpx.Response) -> list[Any]:
    """The events of an answer."""
    assert answer.status_code == 200, answer.text
    lines = answer.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def until(holds: Callable[[], object], what: str) -> None:
    """Look again and again until it holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def at_once(*deeds: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """Do all of it at the same time; what was answered, in that order."""
    ready = threading.Barrier(len(deeds))

    def do(deed: Callable[[], httpx.Response]) -> httpx.Response:
        ready.wait(timeout=60)
        return deed()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(do, deeds))


def statuses(answers: Iterable[httpx.Response]) -> list[int]:
    """What was answered, in order of the numbers."""
    return sorted(answer.status_code for answer in answers)
