"""Start-up and memory: import, ready to serve, resident, beside the peer.

Imported is what a small program names. Ready is the first answer, from the start of the process,
with a database that is there. Resident is the process after one streamed run.

Programs run the bytecode that pip leaves behind when it installs a package. Not every installation
has it (an editable one, some images), so each side has its own written by a start that does not
count.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.calls import StreamedRun
from benchmarks.client import ask
from benchmarks.finding import OURS, PEER, Finding, Must, in_turn
from benchmarks.process import Server
from benchmarks.stage import TOKENS, Conditions, Stage

IMPORTED = """
import time
began = time.perf_counter()
from {package}.agent import Agent
from {package}.db.sqlite import SqliteDb
from {package}.models.openai import OpenAIChat
from {package}.os import AgentOS
from {package}.os.config import AuthorizationConfig
print(time.perf_counter() - began)
"""


@dataclass(frozen=True, slots=True)
class Started:
    """One process that was started."""

    import_seconds: float
    ready_seconds: float
    resident_mib: float
    proportional_mib: float


def measure(conditions: Conditions) -> Sequence[Finding]:
    """Seconds and MiB."""
    with tempfile.TemporaryDirectory(prefix="licet-bench-") as bytecode:
        return _measured(
            conditions, {"PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
        )


def _measured(conditions: Conditions, env: Mapping[str, str]) -> Sequence[Finding]:
    with Stage(conditions, env=env) as stage:
        model = stage.model()
        call = StreamedRun(token=stage.token(), tokens=TOKENS)

        def started(python: str, package: str, start: Callable[[], Server]) -> Started:
            server = start()
            try:
                answer = ask(server.port, call.request())
                call.check(answer.status, answer.body)
                memory = server.memory()
            finally:
                stage.end(server)
            return Started(
                import_seconds(python, package, env=env),
                server.ready_seconds,
                memory.resident_kib / 1024,
                memory.proportional_kib / 1024,
            )

        ours = partial(
            stage.licet, "served.py", "licet", model=model, database=stage.database("SQLite")
        )
        sides = {OURS: partial(started, sys.executable, "licet", ours)}
        if conditions.peer_python is not None:
            peer = partial(stage.peer, model=model, database=stage.database("SQLite"))
            sides[PEER] = partial(started, conditions.peer_python, "agno", peer)
        found = in_turn(sides, rounds=conditions.rounds)
    return [
        Finding(
            what=what,
            unit=unit,
            figures={side: [value(one) for one in rounds] for side, rounds in found.items()},
            musts=musts,
        )
        for what, unit, value, musts in _VALUES
    ]


def import_seconds(python: str, package: str, *, env: Mapping[str, str]) -> float:
    """What importing the names of a small program takes, in a fresh interpreter."""
    command = [python, "-P", "-c", IMPORTED.format(package=package)]
    return float(subprocess.check_output(command, env={**os.environ, **env}))


_Value = tuple[str, str, Callable[[Started], float], tuple[Must, ...]]
_VALUES: Sequence[_Value] = (
    ("import", "s", lambda one: one.import_seconds, (Must(beside=PEER, at_most=0.333),)),
    ("ready to serve", "s", lambda one: one.ready_seconds, (Must(beside=PEER, at_most=0.5),)),
    ("resident (RSS)", "MiB", lambda one: one.resident_mib, (Must(beside=PEER, at_most=0.75),)),
    ("resident (PSS)", "MiB", lambda one: one.proportional_mib, ()),
)
