"""Streamed runs, each in a session of its own, beside the peer and beside bare proxies.

The limit is the proxy that sends each event by itself, as every server does to which events mean
something. The other one shows what sending 50 events costs: it sees none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.calls import ForwardedCall, StreamedRun
from benchmarks.finding import PEER, Finding, Must, in_turn
from benchmarks.load import Call, rate
from benchmarks.stage import DATABASES, TOKENS, Conditions, Database, Stage

PROXY = "bare proxy"
BY_EVENT = "bare proxy, event by event"
AT_LEAST: dict[Database, float] = {"SQLite": 12, "PostgreSQL": 10}


def measure(conditions: Conditions) -> Sequence[Finding]:
    """Runs a second, on each database."""
    return [measured(conditions, database) for database in DATABASES]


def measured(conditions: Conditions, database: Database) -> Finding:
    """Runs a second, on one database."""
    with Stage(conditions) as stage:
        model, token = stage.model(), stage.token()
        run: Call = StreamedRun(token=token, tokens=TOKENS)
        sides = {side: (server.port, run) for side, server in stage.sides(model, database).items()}
        forwarded: Call = ForwardedCall(token=token, tokens=TOKENS)
        sides[BY_EVENT] = (stage.limit("proxy_by_event", model=model).port, forwarded)
        sides[PROXY] = (stage.limit("proxy", model=model).port, forwarded)
        figures = in_turn(
            {
                side: partial(rate, port, call, seconds=conditions.seconds)
                for side, (port, call) in sides.items()
            },
            rounds=conditions.rounds,
        )
    return Finding(
        what=f"run, streamed, {TOKENS} tokens, {database}",
        unit="a second",
        figures=figures,
        musts=(
            Must(beside=PEER, at_least=AT_LEAST[database]),
            Must(beside=BY_EVENT, at_least=0.4),
        ),
    )
