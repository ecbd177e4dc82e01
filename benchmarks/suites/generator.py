"""What the load itself can drive: the server that does nothing. A figure near it says little."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.calls import ForwardedCall, Get
from benchmarks.finding import Finding, in_turn
from benchmarks.load import Call, rate
from benchmarks.stage import TOKENS, Conditions, Stage

TRIVIAL = "trivial server"


def measure(conditions: Conditions) -> Sequence[Finding]:
    """Short answers, and streamed ones, a second."""
    with Stage(conditions) as stage:
        port, token = stage.trivial().port, stage.token()
        calls: dict[str, Call] = {
            "the load: short answers": Get("/", token=token, containing=b"42"),
            f"the load: streams of {TOKENS} tokens": ForwardedCall(token=token, tokens=TOKENS),
        }
        return [
            Finding(
                what=what,
                unit="a second",
                figures=in_turn(
                    {TRIVIAL: partial(rate, port, call, seconds=conditions.seconds)},
                    rounds=conditions.rounds,
                ),
            )
            for what, call in calls.items()
        ]
