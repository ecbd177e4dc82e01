from __future__ import annotations

import asyncio
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.runs.event_source import Gap, Piece
from licet.runs.log import EventLog

SECONDS = 10


async def read(log: EventLog, *, after: int = -1, before: int | None = None) -> list[Piece]:
    return [p async for p in log.follow(after=after, before=before, idle_seconds=SECONDS)]


def filled(*frames: bytes, max_frames: int = 100, max_bytes: int = 1000) -> EventLog:
    log = EventLog(max_frames=max_frames, max_bytes=max_bytes)
    for frame in frames:
        log.append(frame)
    return log


async def test_a_reader_gets_what_was_there_and_what_comes() -> None:
    log = filled(b"a")
    reader = asyncio.ensure_future(read(log))
    await asyncio.sleep(0)
    log.append(b"b")
    log.close()
    assert await reader == [b"a", b"b"]


async def test_frames_that_are_ready_come_as_one() -> None:
    log = filled(b"a", b"b", b"c")
    log.close()
    assert await read(log) == [b"abc"]


async def test_a_reader_that_begins_late_is_not_given_the_whole_log_at_once() -> None:
    frame = b"x" * 20_000
    log = EventLog()
    for _ in range(10):
        log.append(frame)
    log.close()
    got = await read(log)
    assert b"".join(cast("list[bytes]", got)) == frame * 10
    assert max(len(cast("bytes", piece)) for piece in got) <= 80_000


async def test_a_reader_goes_on_after_the_index_it_saw() -> None:
    log = filled(b"a", b"b", b"c")
    log.close()
    assert await read(log, after=1) == [b"c"]
    assert await read(log, after=2) == []
    assert await read(log, after=7) == []


async def test_a_reader_of_a_part_ends_with_it_also_when_more_is_there_or_comes() -> None:
    log = filled(b"a", b"b", b"c")
    assert await read(log, before=2) == [b"ab"]
    assert await read(log, after=0, before=2) == [b"b"]
    assert await read(log, after=1, before=2) == []
    reader = asyncio.ensure_future(read(log, after=1, before=4))
    await asyncio.sleep(0)
    log.append(b"d")
    assert await reader == [b"c", b"d"]


async def test_silence_is_told() -> None:
    log = EventLog()
    follower = log.follow(idle_seconds=0.01)
    assert await anext(follower) is None
    log.append(b"a")
    assert await anext(follower) == b"a"
    await follower.aclose()  # type: ignore[attr-defined]  # a generator


async def test_many_readers_read_the_same() -> None:
    log = EventLog()
    readers = [asyncio.ensure_future(read(log)) for _ in range(20)]
    for number in range(50):
        log.append(b"%d," % number)
        if number % 7 == 0:
            await asyncio.sleep(0)
    log.close()
    expected = b"".join(b"%d," % number for number in range(50))
    for reader in readers:
        assert b"".join(cast("list[bytes]", await reader)) == expected


class TestBounds:
    @pytest.mark.parametrize("bound", [{"max_frames": 3}, {"max_bytes": 3}])
    def test_the_oldest_frames_go_and_indices_stay(self, bound: dict[str, int]) -> None:
        log = filled(b"a", b"b", b"c", b"d", b"e", **bound)
        assert (log.first_index, log.next_index, log.size_bytes) == (2, 5, 3)

    def test_the_last_frame_stays_however_large_it_is(self) -> None:
        log = filled(b"a", b"b", b"c" * 5000)
        assert (log.first_index, log.next_index, log.size_bytes) == (2, 3, 5000)

    async def test_who_asks_for_what_went_is_told_and_gets_the_rest(self) -> None:
        log = filled(b"a", b"b", b"c", b"d", max_frames=2)
        log.close()
        assert await read(log) == [Gap(0, 2), b"cd"]
        assert await read(log, after=0) == [Gap(1, 1), b"cd"]
        assert await read(log, after=1) == [b"cd"]
        assert await read(log, before=1) == [Gap(0, 1)]

    async def test_a_reader_that_falls_behind_is_told_and_goes_on(self) -> None:
        log = filled(max_frames=2)
        follower = log.follow(idle_seconds=SECONDS)
        log.append(b"a")
        assert await anext(follower) == b"a"
        for frame in (b"b", b"c", b"d", b"e"):
            log.append(frame)
        log.close()
        assert [piece async for piece in follower] == [Gap(1, 2), b"de"]


@given(
    st.lists(st.booleans(), max_size=40),
    st.integers(-1, 10),
    st.integers(1, 12),
    st.integers(1, 30),
)
def test_no_frame_is_lost_or_doubled_untold_whatever_the_order(
    turns: list[bool], after: int, max_frames: int, max_bytes: int
) -> None:
    async def scenario() -> None:
        log = EventLog(max_frames=max_frames, max_bytes=max_bytes)
        reader = asyncio.ensure_future(read(log, after=after))
        for place, let_others_run in enumerate(turns):
            log.append(b"%d," % place)
            assert log.next_index - log.first_index <= max_frames
            assert log.size_bytes <= max(max_bytes, 3)
            if let_others_run:
                await asyncio.sleep(0)
        log.close()
        at = after + 1
        for piece in await reader:
            assert piece is not None
            if isinstance(piece, Gap):
                assert piece.first == at
                assert piece.count > 0
                at += piece.count
            else:
                numbers = [int(number) for number in piece.split(b",")[:-1]]
                assert numbers == list(range(at, at + len(numbers)))
                at += len(numbers)
        assert at == max(after + 1, len(turns))

    asyncio.run(scenario())
