from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.models.openai.sse import EventSplitter, EventTooLargeError

_LINES = st.sampled_from(
    [
        b"data: one",
        b"data:two",
        b"data:  three",
        b"data",
        b"data:",
        b": a comment",
        b"event: message",
        b"id: 7",
        b"",
        b"",
        b"{not a field}",
        "data: ünï😀".encode(),
    ]
)
_STREAMS = st.lists(st.tuples(_LINES, st.sampled_from([b"\n", b"\r\n"]))).map(
    lambda lines: b"".join(itertools.chain.from_iterable(lines))
)


def _split_at(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[begin:end] for begin, end in itertools.pairwise(edges)]


def _feed(splitter: EventSplitter, pieces: list[bytes]) -> list[bytes]:
    return [event for piece in pieces for event in splitter.feed(piece)]


@given(_STREAMS, st.lists(st.integers(min_value=0, max_value=10_000), max_size=12))
def test_any_split_of_a_stream_gives_the_same_events(stream: bytes, places: list[int]) -> None:
    whole, cut = EventSplitter(), EventSplitter()
    expected = whole.feed(stream) + whole.finish()

    events = _feed(cut, _split_at(stream, places))

    assert events + cut.finish() == expected


def test_data_lines_of_one_event_are_joined_and_all_else_is_skipped() -> None:
    stream = b": ping\r\nevent: chunk\r\ndata: one\r\ndata:two\r\n\r\n\n\nid: 1\n\ndata: last\n\n"

    assert EventSplitter().feed(stream) == [b"one\ntwo", b"last"]


def test_an_unfinished_event_comes_only_with_the_end() -> None:
    splitter = EventSplitter()

    assert splitter.feed(b"data: [DO") == []
    assert splitter.feed(b"NE]") == []
    assert splitter.finish() == [b"[DONE]"]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"data: " + b"x" * 40], id="in one line without an end"),
        pytest.param([b"data: "] + [b"x" * 10] * 5, id="in pieces without an end"),
        pytest.param([b"data: xxxxxxxx\n"] * 5, id="in many lines"),
        pytest.param([b"data: " + b"x" * 40 + b"\n\n"], id="at once"),
        pytest.param([b"\n" + b"x" * 40], id="behind a line"),
    ],
)
def test_an_event_over_the_limit_is_refused(pieces: list[bytes]) -> None:
    splitter = EventSplitter(max_event_bytes=30)

    with pytest.raises(EventTooLargeError, match="30 bytes"):
        _feed(splitter, pieces)


def test_the_limit_counts_each_event_by_itself() -> None:
    splitter = EventSplitter(max_event_bytes=30)

    assert len(splitter.feed(b"data: 0123456789\n\n" * 20)) == 20
