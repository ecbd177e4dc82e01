"""Runs that are not streamed, each in a session of its own, beside the peer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.calls import Run
from benchmarks.finding import PEER, Finding, Must, in_turn
from benchmarks.load import rate
from benchmarks.stage import DATABASES, TOKENS, Conditions, Database, Stage

AT_LEAST: dict[Database, float] = {"SQLite": 9, "PostgreSQL": 7}


def measure(conditions: Conditions) -> Sequence[Finding]:
    """Runs a second, on each database."""
    return [_measured(conditions, database) for database in DATABASES]


def _measured(conditions: Conditions, database: Database) -> Finding:
    with Stage(conditions) as stage:
        servers = stage.sides(stage.model(), database)
        call = Run(token=stage.token(), tokens=TOKENS)
        figures = in_turn(
            {
                side: partial(rate, server.port, call, seconds=conditions.seconds)
                for side, server in servers.items()
            },
            rounds=conditions.rounds,
        )
    return Finding(
        what=f"run, not streamed, {database}",
        unit="a second",
        figures=figures,
        musts=(Must(beside=PEER, at_least=AT_LEAST[database]),),
    )
