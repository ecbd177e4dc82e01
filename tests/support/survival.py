"""Durable runs over real processes that are killed: the program, its readers, what must hold."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.openai import scripted_openai
from tests.support.process import Process, free_port, licet, running

STEPS = 3
ANSWER = "all three steps are done and this is the whole of the answer that was asked for"
DEADLINE_SECONDS = 120.0
UNAVAILABLE = 503

PROGRAM = """
import os
import time

from licet.agent import Agent
from licet.context import RunContext
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.models.openai import OpenAIChat
from licet.os import AgentOS, Heartbeat, Settings

FILE = os.open({file!r}, os.O_APPEND | os.O_CREAT | os.O_WRONLY)


def step(number: int, context: RunContext) -> str:
    "One of three steps."
    os.write(FILE, f"{{context.run_id}} {{number}} {{context.idempotency_key}}\\n".encode())
    time.sleep(0.1)
    context.session_state["done"].append(number)
    return f"step {{number}} is done"


agent_os = AgentOS(
    id="os",
    agents=[
        Agent(
            id="worker",
            model=OpenAIChat(id="scripted", base_url={model!r}, api_key="none"),
            tools=[step],
            session_state={{"done": []}},
        )
    ],
    db={db},
    settings=Settings(heartbeat=Heartbeat(beat_seconds=0.25, dead_seconds=2.0)),
)
app = agent_os.get_app()
"""


def script() -> dict[str, Any]:
    """A model that calls three tools, one after the other, and then answers slowly."""
    calls = [
        {"tool_calls": [{"name": "step", "arguments": {"number": number}}]}
        for number in range(1, STEPS + 1)
    ]
    answer = {"text": ANSWER, "pause_seconds": 0.02}
    return {"rules": [{"match": "go", "answers": [*calls, answer]}]}


@dataclass(eq=False)
class Replica:
    """One process that serves."""

    url: str
    process: Process

    def kill(self) -> None:
        """``kill -9``."""
        self.process.popen.send_signal(signal.SIGKILL)
        self.process.popen.wait(timeout=60)


@dataclass(eq=False)
class House:
    """The processes that serve one database.

    ``program`` and ``version`` are of those that are started from now on.
    """

    folder: Path
    model: str
    db: str
    stack: ExitStack
    program: str
    version: str = "A"
    replicas: list[Replica] = field(default_factory=list)

    @property
    def calls_file(self) -> Path:
        """Where each call of a tool leaves a line."""
        return self.folder / "calls.txt"

    def start(self) -> Replica:
        """One more process; it does not serve yet."""
        program = self.program.format(
            db=self.db, model=f"{self.model}/v1", file=str(self.calls_file), version=self.version
        )
        (self.folder / f"program_{self.version}.py").write_text(program)
        port = free_port()
        command = licet("serve", f"program_{self.version}:app", "--port", str(port))
        process = self.stack.enter_context(running(command, cwd=self.folder))
        replica = Replica(f"http://127.0.0.1:{port}", process)
        self.replicas.append(replica)
        return replica

    def wait_until_serving(self) -> None:
        """Wait for all of them."""
        for replica in self.replicas:
            replica.process.wait_until_serving(f"{replica.url}/health")

    def kill(self, replica: Replica) -> None:
        """``kill -9`` for one of them."""
        self.replicas.remove(replica)
        replica.kill()

    def replace_all(self, before_end: Callable[[Replica, Replica], None] | None = None) -> None:
        """Replace them one by one, as a roll-out does: the new one serves before the old one ends.

        ``before_end`` is called with the old one and the new one while both serve.
        """
        for old in list(self.replicas):
            new = self.start()
            # Nobody is sent there yet.
            self.replicas.remove(new)
            new.process.wait_until_serving(f"{new.url}/health")
            self.replicas.append(new)
            if before_end is not None:
                before_end(old, new)
            self.retire(old)

    def retire(self, replica: Replica) -> None:
        """Ask one of them to end, and wait until it has."""
        self.replicas.remove(replica)
        replica.process.popen.send_signal(signal.SIGTERM)
        replica.process.popen.wait(timeout=60)

    def calls(self) -> dict[str, list[int]]:
        """The steps that were begun, by run, in order."""
        found: dict[str, list[int]] = {}
        for line in self.calls_file.read_text().splitlines():
            run_id, number, _ = line.split()
            found.setdefault(run_id, []).append(int(number))
        return found


@contextmanager
def house(
    folder: Path, db: str, *, program: str = PROGRAM, says: Mapping[str, Any] | None = None
) -> Iterator[House]:
    """A database, a model that says ``script()`` or something else, and no process yet.

    ``program`` has places for ``db``, ``model`` (an address), ``file`` (where calls are noted) and
    ``version``.
    """
    with ExitStack() as stack:
        model = stack.enter_context(scripted_openai(says or script()))
        yield House(folder, model, db, stack, program)


@dataclass(eq=False)
class Seen:
    """What a client saw of one run, over all its connections."""

    run_id: str
    session_id: str
    agent_id: str = "worker"
    headers: Mapping[str, str] = field(default_factory=dict)
    events: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def last_index(self) -> int:
        """Of the last event that was seen."""
        return self.events[-1]["event_index"] if self.events else -1

    @property
    def ended(self) -> bool:
        """Whether the last event says how the run ended."""
        return bool(self.events) and self.events[-1]["event"] in {
            "RunCompleted",
            "RunError",
            "RunCancelled",
        }

    def read(self, answer: httpx.Response) -> None:
        """See the events of a stream, as they come."""
        for line in answer.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                if "event_index" in event:
                    self.events.append(event)

    def text(self) -> str:
        """What the client shows: pieces that were superseded do not count."""
        pieces: list[tuple[int, str]] = []
        for event in self.events:
            first = event.get("supersedes_from_index")
            if first is not None:
                pieces = [piece for piece in pieces if piece[0] < first]
            if event["event"] == "RunContent":
                pieces.append((event["event_index"], event["content"]))
        return "".join(text for _, text in pieces)


def begin(at: Replica, message: str = "go", **form: str) -> Seen:
    """Ask for a run in the background, and know its id."""
    body = {"message": message, "background": "true", "stream": "false", **form}
    answer = httpx.post(f"{at.url}/agents/worker/runs", data=body, timeout=30)
    assert answer.status_code == 202, answer.text
    return Seen(answer.json()["run_id"], answer.json()["session_id"])


def follow(seen: Seen, url: Callable[[], str]) -> None:
    """Read a run's events to their end; whenever the connection breaks, go on where it broke."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not seen.ended:
        assert time.monotonic() < deadline, f"run {seen.run_id} never ended: {seen.events[-3:]}"
        try:
            _follow_once(seen, url())
        except httpx.TransportError:
            time.sleep(0.05)


def _follow_once(seen: Seen, url: str) -> None:
    address = f"{url}/agents/{seen.agent_id}/runs/{seen.run_id}/resume"
    form = {"last_event_index": str(seen.last_index), "session_id": seen.session_id}
    with httpx.stream("POST", address, data=form, headers=seen.headers, timeout=30) as answer:
        if answer.status_code == UNAVAILABLE:
            return
        assert answer.status_code == 200, answer.read()
        seen.read(answer)


def check(seen: Seen, calls: list[int]) -> None:
    """What must hold of a run, whatever happened to the processes that worked on it."""
    last = seen.events[-1]
    assert last["event"] == "RunCompleted", last
    assert last["content"] == ANSWER
    # Every index once, and in order.
    assert [event["event_index"] for event in seen.events] == list(range(len(seen.events)))
    assert seen.text() == ANSWER
    # A step that is followed by another one had ended: it never began again.
    assert calls == sorted(calls), calls
    assert set(calls) == set(range(1, STEPS + 1))
    assert last["session_state"]["done"] == list(range(1, STEPS + 1))
