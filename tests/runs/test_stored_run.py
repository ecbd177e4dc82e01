from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from licet.db.records import RunRecord, RunStatus
from licet.errors import StorageError
from licet.runs.event_source import Piece
from licet.runs.stored_run import StoredRun
from tests.runs.stored import record, tool

SECONDS = 10
COMPLETED = record(RunStatus.COMPLETED, content="done")


class Row:
    """A row that is found again, as it is then: the next of these, at last the last one."""

    def __init__(self, *found: RunRecord | StorageError | None) -> None:
        self._found = list(found)
        self.looks = 0

    async def __call__(self) -> RunRecord | None:
        self.looks += 1
        found = self._found[0] if len(self._found) == 1 else self._found.pop(0)
        if isinstance(found, StorageError):
            raise found
        return found


def stored(now: RunRecord, *later: RunRecord | StorageError | None) -> StoredRun:
    return StoredRun(now, Row(*later), look_seconds=0.001)


async def read(source: StoredRun, **which: Any) -> list[Piece]:
    return [piece async for piece in source.follow(idle_seconds=SECONDS, **which)]


def events(pieces: list[Piece]) -> list[tuple[int, str]]:
    text = b"".join(piece for piece in pieces if isinstance(piece, bytes)).decode()
    found = []
    for frame in text.split("\n\n")[:-1]:
        event = json.loads(frame.partition("data: ")[2])
        found.append((event["event_index"], event["event"]))
    return found


async def test_a_run_that_has_ended_is_told_at_once() -> None:
    source = stored(COMPLETED)
    assert (source.ended, source.first_index, source.next_index) == (True, 0, 3)
    assert source.replayed
    expected = [(0, "RunStarted"), (1, "RunContentCompleted"), (2, "RunCompleted")]
    assert events(await read(source)) == expected
    assert events(await read(source, after=0)) == expected[1:]
    assert events(await read(source, after=0, before=2)) == expected[1:2]
    assert await read(source, after=2) == []


async def test_a_run_that_works_is_looked_at_until_it_has_ended() -> None:
    source = stored(
        record(RunStatus.PENDING),
        record(RunStatus.PENDING),
        record(RunStatus.RUNNING),
        record(RunStatus.RUNNING, tools=(tool("one"),)),
        record(RunStatus.COMPLETED, content="done", tools=(tool("one"),)),
    )
    assert (source.ended, source.next_index) == (False, 0)
    assert events(await read(source)) == [
        (0, "RunStarted"),
        (1, "ToolCallStarted"),
        (2, "ToolCallCompleted"),
        (3, "RunContentCompleted"),
        (4, "RunCompleted"),
    ]
    assert source.ended


async def test_what_is_known_can_be_had_without_waiting() -> None:
    row = Row(COMPLETED)
    source = StoredRun(record(RunStatus.RUNNING), row)
    assert events(await read(source, before=source.next_index)) == [(0, "RunStarted")]
    assert row.looks == 0


async def test_a_run_that_is_deleted_ends_too() -> None:
    pieces = await read(stored(record(RunStatus.RUNNING), None))
    assert events(pieces) == [(0, "RunStarted"), (1, "RunError")]
    assert b'"error_type":"deleted"' in cast("bytes", pieces[-1])


async def test_a_database_that_is_away_is_waited_for_and_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = StorageError("gone")
    source = stored(record(RunStatus.RUNNING), away, away, COMPLETED)
    assert [name for _, name in events(await read(source))][-1] == "RunCompleted"
    assert [line.message for line in caplog.records] == [
        "a run cannot be looked at: gone",
        "runs can be looked at again",
    ]


async def test_silence_is_told() -> None:
    source = StoredRun(record(RunStatus.RUNNING), Row(record(RunStatus.RUNNING)), look_seconds=0.01)
    follower = source.follow(after=0, idle_seconds=0.005)
    assert [await anext(follower) for _ in range(3)] == [None, None, None]
    await follower.aclose()  # type: ignore[attr-defined]  # a generator


async def test_readers_of_one_source_hear_the_same() -> None:
    source = stored(record(RunStatus.RUNNING), record(RunStatus.RUNNING), COMPLETED, None)
    readers = [asyncio.ensure_future(read(source)) for _ in range(3)]
    found = [events(await reader) for reader in readers]
    assert found[0][-1] == (2, "RunCompleted")
    assert found == [found[0]] * 3


async def test_a_row_whose_status_alone_was_changed_has_that_status() -> None:
    claimed: Callable[..., RunRecord] = record
    body = claimed(RunStatus.PENDING).body
    running = RunRecord(
        owner="o",
        session_id="s",
        run_id="r",
        component_id="a",
        status=RunStatus.RUNNING,
        body=body,
        created_at_us=1,
        updated_at_us=1,
    )
    assert events(await read(stored(running), before=1)) == [(0, "RunStarted")]
