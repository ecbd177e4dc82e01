"""The thousandth run of a session beside the tenth: history is read, and nothing of it rewritten.

One session is made long. Then the next run of that and the tenth run of a new one take turns.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.calls import Run, http_request
from benchmarks.client import ask
from benchmarks.finding import OURS, Finding, Must, in_turn
from benchmarks.stage import DATABASES, TOKENS, Conditions, Database, Stage

RUNS = 1000
PAIRS_A_ROUND = 5
TENTH = "10th run"


def measure(conditions: Conditions) -> Sequence[Finding]:
    """Milliseconds a run: in the foreground on each database, and durable."""
    foreground = [_measured(conditions, database) for database in DATABASES]
    return [*foreground, _measured(conditions, "SQLite", durable=True)]


def _measured(conditions: Conditions, database: Database, *, durable: bool = False) -> Finding:
    runs = conditions.scaled(RUNS, least=20)
    program = ["durable_runs.py"] if durable else ["served.py", "licet"]
    agent = "durable" if durable else "bench"
    with Stage(conditions) as stage:
        model, stored = stage.model(), stage.database(database)
        server = stage.licet(*program, model=model, database=stored)
        session = Session(server.port, token=stage.token(), agent=agent)
        for _ in range(runs - 1):
            session.run_ms("long")
        new = (f"new-{number}" for number in itertools.count())
        sides: dict[str, Callable[[], float]] = {
            TENTH: lambda: session.tenth_run_ms(next(new)),
            OURS: partial(session.run_ms, "long"),
        }
        figures = in_turn(sides, rounds=conditions.rounds * PAIRS_A_ROUND)
    return Finding(
        what=f"run {runs} of a session, {'durable, ' if durable else ''}{database}",
        unit="ms",
        figures=figures,
        musts=(Must(beside=TENTH, at_most=1.15),),
    )


class Session:
    """Runs in sessions, one after the other."""

    def __init__(
        self, port: int, *, token: str, agent: str = "bench", tokens: int = TOKENS
    ) -> None:
        self._port = port
        self._token = token
        self._path = f"/agents/{agent}/runs"
        self._run = Run(token=token, tokens=tokens)

    def run_ms(self, session_id: str) -> float:
        """How long one more run of a session takes."""
        form = {"message": "hello", "stream": "false", "session_id": session_id}
        answer = ask(self._port, http_request("POST", self._path, token=self._token, form=form))
        self._run.check(answer.status, answer.body)
        return answer.took_seconds * 1000

    def tenth_run_ms(self, session_id: str) -> float:
        """How long the tenth run of a new session takes."""
        for _ in range(9):
            self.run_ms(session_id)
        return self.run_ms(session_id)
