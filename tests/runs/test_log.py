from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from licet.runs.log import EventLog


async def read(log: EventLog, *, after: int = -1) -> list[bytes | None]:
    return [ready async for ready in log.follow(after=after, idle_seconds=5)]


async def test_a_reader_gets_what_was_there_and_what_comes() -> None:
    log = EventLog()
    log.append(b"a")
    reader = asyncio.ensure_future(read(log))
    await asyncio.sleep(0)
    log.append(b"b")
    log.close()
    assert b"".join(part or b"" for part in await reader) == b"ab"


async def test_frames_that_are_ready_come_as_one() -> None:
    log = EventLog()
    for frame in (b"a", b"b", b"c"):
        log.append(frame)
    log.close()
    assert await read(log) == [b"abc"]


async def test_a_reader_goes_on_after_the_index_it_saw() -> None:
    log = EventLog()
    for frame in (b"a", b"b", b"c"):
        log.append(frame)
    log.close()
    assert await read(log, after=1) == [b"c"]
    assert await read(log, after=2) == []
    assert await read(log, after=7) == []


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
        assert b"".join(part or b"" for part in await reader) == expected


@given(st.lists(st.booleans(), max_size=40), st.integers(-1, 10))
def test_no_frame_is_lost_or_doubled_whatever_the_order(turns: list[bool], after: int) -> None:
    async def scenario() -> None:
        log = EventLog()
        reader = asyncio.ensure_future(read(log, after=after))
        for place, let_others_run in enumerate(turns):
            log.append(b"%d," % place)
            if let_others_run:
                await asyncio.sleep(0)
        log.close()
        got = b"".join(part or b"" for part in await reader)
        assert got == b"".join(b"%d," % place for place in range(after + 1, len(turns)))

    asyncio.run(scenario())
