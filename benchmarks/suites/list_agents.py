"""``GET /agents`` with a token, beside the peer and beside one route of bare FastAPI."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.calls import Get
from benchmarks.finding import PEER, Finding, Must, in_turn
from benchmarks.load import rate
from benchmarks.stage import Conditions, Stage

ROUTE = "bare FastAPI"


def measure(conditions: Conditions) -> Sequence[Finding]:
    """Requests a second."""
    with Stage(conditions) as stage:
        servers = stage.sides(stage.model(), "SQLite")
        servers[ROUTE] = stage.limit("route")
        token = stage.token()
        figures = in_turn(
            {
                side: partial(
                    rate,
                    server.port,
                    Get("/agents", token=token, containing=b'"bench"'),
                    seconds=conditions.seconds,
                )
                for side, server in servers.items()
            },
            rounds=conditions.rounds,
        )
    return [
        Finding(
            what="`GET /agents` with token",
            unit="a second",
            figures=figures,
            musts=(Must(beside=PEER, at_least=10), Must(beside=ROUTE, at_least=0.65)),
        )
    ]
