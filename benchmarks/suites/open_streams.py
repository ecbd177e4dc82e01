"""Many open streams at once, each at the pace of a real model; and what each takes of memory.

They begin a hundred a second, and go on until all have been open together for the time that counts.
The memory of a stream is what the process has grown by at the end of that, divided by their number.
The bare proxy shows what the machine and the load themselves add.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.calls import StreamedRun
from benchmarks.client import drive, run
from benchmarks.finding import OURS, Finding, Must, in_turn, percentile
from benchmarks.process import Server
from benchmarks.stage import Conditions, Stage
from benchmarks.streams import TimedStream
from benchmarks.suites.streamed_runs import PROXY

STREAMS = 500
SECONDS = 30
TOKENS_A_SECOND = 20
APART_SECONDS = 0.0101
"""No divisor of the time between two tokens: those of all streams lie between each other."""
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of all streams of one round."""

    lost: int
    delays_ms: Sequence[float]
    resident_kib: float
    proportional_kib: float


def measure(conditions: Conditions) -> Sequence[Finding]:
    """Tokens lost, delays, and memory."""
    count = conditions.scaled(STREAMS, least=8)
    seconds = conditions.scaled(SECONDS, least=2)
    tokens = math.ceil((seconds + count * APART_SECONDS) * TOKENS_A_SECOND)
    with Stage(conditions) as stage:
        model = stage.model(tokens=tokens, tokens_a_second=TOKENS_A_SECOND)
        call = StreamedRun(token=stage.token(), tokens=tokens)

        def opened_by(start: Callable[[], Server]) -> Opened:
            # A new process each time: what others have left over must not be used by this one.
            server = start()
            try:
                return run(opened(server, call, count=count))
            finally:
                stage.end(server)

        def ours() -> Server:
            database = stage.database("SQLite")
            return stage.licet("served.py", "licet", model=model, database=database)

        sides = {
            OURS: partial(opened_by, ours),
            PROXY: partial(opened_by, partial(stage.limit, "proxy", model=model)),
        }
        rounds = min(ROUNDS, conditions.rounds)
        found = in_turn(sides, rounds=rounds, warm=False)
    what = f"{count} open streams, {TOKENS_A_SECOND} tokens/s each, {seconds} s"
    return [
        Finding(
            what=f"{what}: {name}",
            unit=unit,
            figures={side: [value(one) for one in rounds] for side, rounds in found.items()},
            musts=musts,
        )
        for name, unit, value, musts in _VALUES
    ]


_Value = tuple[str, str, Callable[[Opened], float], tuple[Must, ...]]
_VALUES: Sequence[_Value] = (
    ("tokens lost", "tokens", lambda one: one.lost, (Must(at_most=0),)),
    ("added, p50", "ms", lambda one: percentile(one.delays_ms, 0.5), ()),
    ("added, p99", "ms", lambda one: percentile(one.delays_ms, 0.99), (Must(at_most=50),)),
    ("RSS a stream", "KiB", lambda one: one.resident_kib, (Must(at_most=80),)),
    ("PSS a stream", "KiB", lambda one: one.proportional_kib, ()),
)


async def opened(server: Server, call: StreamedRun, *, count: int) -> Opened:
    """Open streams, and read them all to their ends.

    Raises:
        AssertionError: an answer is not what it has to be. Lost tokens are counted.
    """
    before = server.memory()
    streams = [TimedStream(call.request(), tokens=call.tokens) for _ in range(count)]
    driving = asyncio.ensure_future(drive(server.port, streams, apart_seconds=APART_SECONDS))
    await asyncio.sleep(call.tokens / TOKENS_A_SECOND * 0.97)
    after = server.memory()
    await driving
    return Opened(
        lost=sum(stream.lost for stream in streams),
        delays_ms=[delay for stream in streams for delay in stream.delays_ms],
        resident_kib=(after.resident_kib - before.resident_kib) / count,
        proportional_kib=(after.proportional_kib - before.proportional_kib) / count,
    )
