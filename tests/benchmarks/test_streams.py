from __future__ import annotations

import time

import pytest

from benchmarks.programs import model
from benchmarks.streams import TimedStream

NOW_US = time.monotonic_ns() // 1000


def token(after_us: int) -> bytes:
    """An event of a run, as Licet sends it, with what the model says when it is asked."""
    stamp = model.stamp(NOW_US - 60_000_000 + after_us).decode()
    data = f'{{"event":"RunContent","content":"{stamp}"}}'
    return f"event: RunContent\nid: 1\ndata: {data}\n\n".encode()


END = b'event: RunCompleted\nid: 9\ndata: {"event":"RunCompleted","content":"1 2 "}\n\n'


def test_a_delay_is_counted_from_the_stamp_of_the_model() -> None:
    stream = TimedStream(b"", tokens=1)
    before_ms = time.monotonic_ns() / 1e6
    stream.piece(token(0) + END)
    after_ms = time.monotonic_ns() / 1e6
    stream.ended(200)
    sent_ms = NOW_US / 1000 - 60_000
    assert before_ms - sent_ms - 1 <= stream.delays_ms[0] <= after_ms - sent_ms + 1
    assert stream.lost == 0


def test_events_that_come_in_pieces_are_seen_once() -> None:
    stream = TimedStream(b"", tokens=2)
    for byte in token(1) + token(2) + END:
        stream.piece(bytes([byte]))
    stream.ended(200)
    assert len(stream.delays_ms) == 2


def test_what_was_lost_is_told() -> None:
    stream = TimedStream(b"", tokens=5)
    stream.piece(token(1) + token(4) + END)
    stream.ended(200)
    assert stream.lost == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (token(2) + token(1) + END, 200),
        (token(1) + token(1) + END, 200),
        (token(1) + b'event: events_dropped\ndata: {"missed_events":1}\n\n' + END, 200),
        (token(1), 200),
        (token(1) + END + b"event: RunCon", 200),
        (token(1) + END, 500),
    ],
    ids=["out of order", "twice", "dropped", "no end", "cut off", "status"],
)
def test_a_stream_that_is_wrong_is_refused(body: bytes, status: int) -> None:
    stream = TimedStream(b"", tokens=1)

    def read() -> None:
        stream.piece(body)
        stream.ended(status)

    with pytest.raises(AssertionError):
        read()


def test_the_end_of_the_proxys_stream_is_the_models() -> None:
    stream = TimedStream(b"", tokens=1)
    stream.piece(b'data: {"choices":[{"delta":{"content":"00zik0 "}}]}\n\ndata: [DONE]\n\n')
    stream.ended(200)
    assert stream.lost == 0
