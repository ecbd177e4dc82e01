"""Of a run's events only the text and the end: cut out of joined frames, and never silent long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from licet.agent import events as ev
from licet.runs.event_source import Gap, Piece
from licet.runs.frames import frame
from licet.runs.log import EventLog
from licet.runs.spare import SpareEvents, spare

COMMON: dict[str, Any] = {
    "created_at": 1,
    "agent_id": "a",
    "agent_name": "A",
    "run_id": "r",
    "session_id": "s",
    "nested_depth": 0,
}
MODEL: dict[str, Any] = {"model": "m", "model_provider": "p"}


def content(text: str, index: int) -> bytes:
    return frame(ev.RunContent(**COMMON, content=text), index)


def asked(index: int, supersedes: int | None = None, *, model: str = "m") -> bytes:
    event = ev.ModelRequestStarted(
        **COMMON, model=model, model_provider="p", supersedes_from_index=supersedes
    )
    return frame(event, index)


STARTED = frame(ev.RunStarted(**COMMON, **MODEL), 0)
COMPLETED = frame(ev.RunContentCompleted(**COMMON), 5)
FAILED = frame(ev.RunError(**COMMON, content="it failed", error_type="x"), 6)


def test_the_text_and_the_end_are_kept_as_they_are() -> None:
    text = content('a line\n\nevent: RunStarted\nid: 9\n\n"', 3)
    joined = b"".join((STARTED, asked(1), content("one", 2), text, COMPLETED, FAILED))
    assert spare(joined) == content("one", 2) + text + FAILED
    assert spare(STARTED + COMPLETED) == b""


@pytest.mark.parametrize(
    "end",
    [
        ev.RunCancelled(**COMMON, content="", reason="r"),
        ev.RunError(**COMMON, content="", error_type="x"),
    ],
)
def test_every_end_is_kept(end: ev.AgentEvent) -> None:
    assert spare(frame(end, 3)) == frame(end, 3)


def test_that_earlier_text_is_void_is_kept() -> None:
    again = asked(4, supersedes=1)
    assert spare(asked(1) + content("one", 2) + again) == content("one", 2) + again


def test_a_model_of_a_strange_name_voids_nothing() -> None:
    assert spare(asked(1, model='"supersedes_from_index":1')) == b""


class Scripted:
    """A source that tells pieces, each after so many seconds."""

    first_index, next_index, ended, replayed = 3, 7, True, True

    def __init__(self, pieces: Sequence[tuple[float, Piece]]) -> None:
        self._pieces = pieces
        self.now = 100.0

    async def follow(
        self, *, after: int = -1, before: int | None = None, idle_seconds: float
    ) -> AsyncIterator[Piece]:
        assert (after, before, idle_seconds) == (2, 9, 10.0)
        for seconds, piece in self._pieces:
            self.now += seconds
            yield piece


async def told(*pieces: tuple[float, Piece]) -> list[Piece]:
    """What is told of these."""
    source = Scripted(pieces)
    events = SpareEvents(source, clock=lambda: source.now)
    return [piece async for piece in events.follow(after=2, before=9, idle_seconds=10.0)]


async def test_what_is_left_out_is_silence() -> None:
    assert await told(*[(4.0, asked(1))] * 5) == [None]
    text = content("one", 1)
    assert await told((4.0, STARTED), (4.0, text), (4.0, asked(2)), (4.0, asked(3))) == [text]


async def test_the_silence_of_the_source_and_gaps_are_passed_on() -> None:
    gap = Gap(0, 4)
    pieces = [(0.0, gap), (9.9, None), (9.9, None), (1.0, FAILED)]
    assert await told(*pieces) == [gap, None, None, FAILED]


def test_everything_else_is_the_sources() -> None:
    events = SpareEvents(Scripted([]))
    assert (events.first_index, events.next_index, events.ended, events.replayed) == (
        3,
        7,
        True,
        True,
    )


async def test_a_log_is_told_in_part_under_its_own_indices() -> None:
    log = EventLog()
    for piece in (STARTED, asked(1), content("one", 2), COMPLETED, FAILED):
        log.append(piece)
    log.close()
    pieces = [piece async for piece in SpareEvents(log).follow(after=1, idle_seconds=1.0)]
    assert pieces == [content("one", 2) + FAILED]
