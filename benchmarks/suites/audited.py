"""What being asked costs: one route with token, scope and audit record, beside itself made public.

Both are asked with the same token, on one server process with a SQLite database and the default
audit (every decision, batched). The processor time is that of the whole process, its writing thread
included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.calls import Get
from benchmarks.finding import OURS, Finding, Must, in_turn
from benchmarks.load import load
from benchmarks.process import Server
from benchmarks.stage import Conditions, Stage

PUBLIC = "public route"


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers a second, and the server's processor time for each, in microseconds."""

    rate: float
    cpu_us: float


def measure(conditions: Conditions) -> Sequence[Finding]:
    """Requests a second, and processor time for each."""
    with Stage(conditions) as stage:
        server = stage.licet("two_routes.py", model="", database=stage.database("SQLite"))
        token = stage.token(scopes=("reports:read",))
        found = in_turn(
            {
                side: partial(
                    _answered,
                    server,
                    Get(path, token=token, containing=b'{"answer":42}'),
                    seconds=conditions.seconds,
                )
                for side, path in ((PUBLIC, "/public"), (OURS, "/asked"))
            },
            rounds=conditions.rounds,
        )
    return [
        Finding(
            what="authenticated, authorized, audited",
            unit="a second",
            figures={side: [one.rate for one in rounds] for side, rounds in found.items()},
            musts=(Must(beside=PUBLIC, at_least=0.85),),
        ),
        Finding(
            what="the same, processor time of each",
            unit="µs",
            figures={side: [one.cpu_us for one in rounds] for side, rounds in found.items()},
        ),
    ]


def _answered(server: Server, call: Get, *, seconds: float) -> Answered:
    cpu_seconds = server.cpu_seconds()
    found = load(server.port, call, seconds=seconds)
    return Answered(found.rate, (server.cpu_seconds() - cpu_seconds) / found.answers * 1e6)
