from __future__ import annotations

import tracemalloc
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.runs.backlog import Backlog


def frame(number: int, size: int = 0) -> bytes:
    text = b'event: RunContent\nid: %d\ndata: {"content":"%d","event_index":%d}\n\n'
    return text % (number, number, number) + b"x" * size


def filled(frames: list[bytes], *, fetched: bool = True) -> Backlog:
    backlog = Backlog()
    for each in frames:
        backlog.append(each, fetched=fetched)
    return backlog


@pytest.mark.parametrize("fetched", [True, False])
@pytest.mark.parametrize("size", [0, 3_000, 9_000, 100_000])
@pytest.mark.parametrize("count", [1, 2, 10, 300])
def test_frames_come_out_as_they_were_put_in(count: int, size: int, fetched: bool) -> None:  # noqa: FBT001 - a case
    frames = [frame(number, size) for number in range(count)]
    backlog = filled(frames, fetched=fetched)
    assert backlog.last == frames[-1]
    assert list(backlog) == frames
    for wanted in {1, 2, count // 2, count - 1, count}:
        assert list(backlog.newest(wanted)) == frames[count - wanted :]
    assert [backlog.pop_oldest() for _ in frames] == frames
    assert backlog.last == b""


@pytest.mark.parametrize("fetched", [True, False])
def test_what_is_nearly_the_same_again_and_again_takes_little_room(fetched: bool) -> None:  # noqa: FBT001 - a case
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        backlog = filled([frame(number, size=200) for number in range(2_000)], fetched=fetched)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(b"".join(backlog.newest(2_000))) > 500_000
    assert after - before < 100_000


def test_an_answer_that_comes_in_a_few_pieces_is_left_as_it_is() -> None:
    frames = [frame(number, size=200) for number in range(100)]
    backlog = Backlog()
    for each in frames:
        backlog.append(each, fetched=each in frames[:7])
    assert all(one is other for one, other in zip(backlog, frames, strict=True))


def test_the_newest_frames_can_be_had_without_unpacking_the_others() -> None:
    backlog = filled([frame(number) for number in range(1_000)])
    assert list(islice(backlog.newest(3), 2)) == [frame(997), frame(998)]


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 70_000)), max_size=60),
    st.lists(st.integers(0, 60), max_size=3),
)
def test_it_is_a_queue_whatever_is_put_in_and_taken_out(
    steps: list[int | None], wanted: list[int]
) -> None:
    """None takes a frame out, a number puts one of that size in."""
    backlog, expected = Backlog(), list[bytes]()
    for number, step in enumerate(steps):
        if step is not None:
            backlog.append(frame(number, step), fetched=step % 2 == 0)
            expected.append(frame(number, step))
        elif expected:
            assert backlog.pop_oldest() == expected.pop(0)
        assert backlog.last == (expected[-1] if expected else b"")
    assert list(backlog) == expected
    for count in wanted:
        some = min(count, len(expected))
        assert list(backlog.newest(some)) == expected[len(expected) - some :]
