"""What is added to the model's own first token, while it speaks at the pace of a real one.

The token says when the model server sent it; the figure is the time from then until the client has
the event. The bare proxy shows what the machine and the load themselves add.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.calls import StreamedRun
from benchmarks.client import drive, run
from benchmarks.finding import Finding, Must, in_turn, percentile
from benchmarks.stage import Conditions, Stage
from benchmarks.streams import TimedStream
from benchmarks.suites.streamed_runs import PROXY

CLIENTS = 16
TOKENS = 5
TOKENS_A_SECOND = 20.0


def measure(conditions: Conditions) -> Sequence[Finding]:
    """Milliseconds, p50 and p99 of each round."""
    with Stage(conditions) as stage:
        model = stage.model(tokens=TOKENS, tokens_a_second=TOKENS_A_SECOND)
        servers = stage.sides(model, "SQLite")
        servers[PROXY] = stage.limit("proxy", model=model)
        request = StreamedRun(token=stage.token(), tokens=TOKENS).request
        # As many streams, one after the other, as a client has in the time.
        streams = max(1, round(conditions.seconds * TOKENS_A_SECOND / TOKENS))
        found = in_turn(
            {
                side: partial(_first_delays, server.port, request, streams=streams)
                for side, server in servers.items()
            },
            rounds=conditions.rounds,
        )
    return [
        Finding(
            what=f"first event, added, {CLIENTS} clients, p{part * 100:g}",
            unit="ms",
            figures={
                side: [percentile(delays, part) for delays in rounds]
                for side, rounds in found.items()
            },
            musts=(Must(at_most=at_most),),
        )
        for part, at_most in ((0.5, 1.0), (0.99, 5.0))
    ]


def _first_delays(port: int, request: Callable[[], bytes], *, streams: int) -> list[float]:
    delays = []
    for _ in range(streams):
        clients = [TimedStream(request(), tokens=TOKENS) for _ in range(CLIENTS)]
        apart_seconds = 1 / TOKENS_A_SECOND / CLIENTS
        run(drive(port, clients, apart_seconds=apart_seconds))
        assert not any(client.lost for client in clients), "tokens were lost"
        delays += [client.delays_ms[0] for client in clients]
    return delays
