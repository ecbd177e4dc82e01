"""What durability costs: a durable run beside the same run in the foreground.

A run without tools has one step, one with three calls of a tool seven. What a step costs is a sixth
of what the longer run costs more than the shorter; what a run costs beside its steps is the rest.
The model answers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from benchmarks.calls import http_request
from benchmarks.client import Once, ask
from benchmarks.finding import OURS, Finding, Must, in_turn
from benchmarks.stage import DATABASES, Conditions, Database, Stage

STEPS_MORE = 6
RUNS_A_ROUND = 8
SCRIPT = {
    "rules": [
        {
            "match": "tools",
            "answers": [
                *(
                    {"tool_calls": [{"name": "step", "arguments": {"number": number}}]}
                    for number in range(3)
                ),
                {"text": "done"},
            ],
        },
        {"match": "plain", "answers": [{"text": "done"}]},
    ]
}


def measure(conditions: Conditions) -> Sequence[Finding]:
    """Milliseconds, on each database."""
    return [one for database in DATABASES for one in _measured(conditions, database)]


def _measured(conditions: Conditions, database: Database) -> Sequence[Finding]:
    with Stage(conditions) as stage:
        server = stage.licet(
            "durable_runs.py",
            model=stage.scripted_model(SCRIPT),
            database=stage.database(database),
        )
        client = Client(server.port, token=stage.token())
        sides: dict[tuple[str, str], Callable[[], float]] = {
            (agent, message): partial(client.run_ms, agent, message)
            for message in ("plain", "tools")
            for agent in ("plain", "durable")
        }
        sides["durable", "first event"] = client.first_event_ms
        found = in_turn(sides, rounds=conditions.rounds * RUNS_A_ROUND)
    more = {
        message: [
            durable - plain
            for durable, plain in zip(
                found["durable", message], found["plain", message], strict=True
            )
        ]
        for message in ("plain", "tools")
    }
    steps = [(b - a) / STEPS_MORE for a, b in zip(more["plain"], more["tools"], strict=True)]
    runs = [whole - step for whole, step in zip(more["plain"], steps, strict=True)]
    return [
        Finding(
            what=f"durable run, {database}: {name}",
            unit="ms",
            figures={OURS: figures},
            musts=(Must(at_most=at_most),),
        )
        for name, figures, at_most in (
            ("enqueue to first event", found["durable", "first event"], 100),
            ("added to a run in the foreground", runs, 30),
            ("added by each step", steps, 10),
        )
    ]


class Client:
    """One client, who waits for each answer."""

    def __init__(self, port: int, *, token: str) -> None:
        self._port = port
        self._token = token

    def run_ms(self, agent: str, message: str) -> float:
        """One run, from the request to its answer."""
        answer = self._ask(agent, {"message": message, "stream": "false"})
        run = msgspec.json.decode(answer.body)
        assert (run["status"], run["content"]) == ("COMPLETED", "done"), answer.body
        return answer.took_seconds * 1000

    def first_event_ms(self) -> float:
        """From the request for a run in the background to the first of its events."""
        form = {"message": "plain", "stream": "true", "background": "true"}
        answer = self._ask("plain", form)
        assert answer.body.startswith(b"event: RunStarted\n"), answer.body
        assert b"event: RunCompleted\n" in answer.body, answer.body
        return answer.first_seconds * 1000

    def _ask(self, agent: str, form: dict[str, str]) -> Once:
        path = f"/agents/{agent}/runs"
        answer = ask(self._port, http_request("POST", path, token=self._token, form=form))
        assert answer.status == 200, (answer.status, answer.body)
        return answer
