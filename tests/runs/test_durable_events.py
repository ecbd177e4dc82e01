from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from licet.agent import events as ev
from licet.errors import StorageError
from licet.runs.durable_events import DurableEvents
from licet.runs.engine import Batch, DurableEngine, unread
from licet.runs.frames import frame
from licet.runs.log import EventLog
from tests.support.durable import events, names

COMMON: dict[str, Any] = {
    "created_at": 1,
    "agent_id": "a",
    "agent_name": "a",
    "run_id": "r",
    "session_id": "s",
    "nested_depth": 0,
}


def text(content: str) -> ev.RunContent:
    return ev.RunContent(content=content, **COMMON)


STARTED = ev.RunStarted(model="m", model_provider="p", **COMMON)
CONTENT_COMPLETED = ev.RunContentCompleted(**COMMON)
CANCELLED = ev.RunCancelled(content="", reason="why", **COMMON)


class Store:
    """The stream of one run. Writes wait for ``open``; the next ``failures`` of them fail."""

    def __init__(self, *batches: Batch) -> None:
        self.batches = list(batches)
        self.ended = False
        self.open = asyncio.Event()
        self.open.set()
        self.writing = asyncio.Event()
        self.failures = 0
        self.stored_all_the_same = False

    async def store_events(self, batch: Batch) -> None:
        self.writing.set()
        await self.open.wait()
        fails, self.failures = self.failures > 0, self.failures - 1
        if not fails or self.stored_all_the_same:
            self.batches.append(batch)
        if fails:
            raise StorageError("away")

    async def close_events(self) -> None:
        self.ended = True

    async def events(
        self, _run_id: str, *, idle_seconds: float | None
    ) -> AsyncIterator[Batch | None]:
        assert idle_seconds is None
        for batch in self.batches:
            yield batch

    @property
    def frames(self) -> list[str]:
        return [frame for batch in self.batches for frame in batch.frames]


def made(store: Store) -> tuple[DurableEvents, EventLog]:
    log = EventLog()
    return DurableEvents(cast("DurableEngine", store), log, frame=frame), log


def shown(log: EventLog) -> list[str]:
    return [each.decode() for each in log._frames]


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0)


async def test_nobody_is_shown_an_event_before_it_is_stored() -> None:
    store = Store()
    told, log = made(store)
    store.open.clear()
    async with told.storing():
        told.emit(STARTED)
        await store.writing.wait()
        assert log.next_index == 0
        store.open.set()
        await until(lambda: log.next_index == 1)
    assert shown(log) == store.frames
    assert names(shown(log)) == ["RunStarted"]


async def test_what_is_told_while_a_batch_is_written_is_the_next_batch() -> None:
    store = Store()
    told, log = made(store)
    store.open.clear()
    async with told.storing():
        told.emit(text("a"))
        await store.writing.wait()
        for each in "bcd":
            told.emit(text(each))
        store.open.set()
    assert [(batch.first_index, len(batch.frames)) for batch in store.batches] == [(0, 1), (1, 3)]
    assert [event["content"] for event in events(shown(log))] == list("abcd")


async def test_all_that_is_told_in_a_block_is_stored_at_its_end() -> None:
    store = Store()
    told, _ = made(store)
    async with told.storing():
        told.emit(text("a"))
    assert len(store.frames) == 1


async def test_a_block_does_not_end_while_the_writer_of_another_one_is_at_its_events() -> None:
    store = Store()
    told, log = made(store)
    first_may_end, ended = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with told.storing():
            await first_may_end.wait()

    async def second() -> None:
        async with told.storing():
            told.emit(text("of the second"))
            # The first one's writer takes it.
            await store.writing.wait()
        ended.set()

    store.open.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(first())
        group.create_task(second())
        await store.writing.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not ended.is_set()
        store.open.set()
        await asyncio.wait_for(ended.wait(), 5)
        assert log.next_index == 1
        first_may_end.set()


async def test_what_could_not_be_stored_is_stored_with_what_comes_next() -> None:
    store = Store()
    told, log = made(store)
    store.failures = 1
    with pytest.raises(StorageError):
        async with told.storing():
            told.emit(text("a"))
    assert (log.next_index, told.next_index) == (0, 1)
    async with told.storing():
        told.emit(text("b"))
    assert [(event["id"], event["content"]) for event in events(shown(log))] == [(0, "a"), (1, "b")]
    assert shown(log) == store.frames


async def test_what_was_stored_without_its_writer_knowing_is_read_once() -> None:
    store = Store()
    told, log = made(store)
    store.failures, store.stored_all_the_same = 1, True
    with pytest.raises(StorageError):
        async with told.storing():
            told.emit(text("a"))
    async with told.storing():
        told.emit(text("b"))
    assert [batch.first_index for batch in store.batches] == [0, 0]
    again, log_again = made(store)
    await again.recall("r")
    assert shown(log_again) == shown(log)
    assert again.next_index == 2


async def test_a_failure_of_the_block_is_not_hidden_by_one_of_the_store() -> None:
    store = Store()
    told, _ = made(store)
    store.failures = 1

    async def step() -> None:
        async with told.storing():
            told.emit(text("a"))
            raise ValueError("of the block")

    with pytest.raises(ValueError, match="of the block"):
        await step()


async def test_a_block_that_is_cancelled_while_its_end_is_written_keeps_what_it_did() -> None:
    store = Store()
    told, log = made(store)
    recorded: list[str] = []

    async def step() -> None:
        async with told.storing():
            told.emit(text("a"))
            await store.writing.wait()
        recorded.append("the step")
        await asyncio.get_running_loop().create_future()

    store.open.clear()
    task = asyncio.ensure_future(step())
    await store.writing.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    store.open.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    assert (recorded, log.next_index) == (["the step"], 1)


async def test_whoever_cancels_is_not_told_of_a_failure_of_the_store_instead() -> None:
    store = Store()
    told, _ = made(store)

    async def step() -> None:
        async with told.storing():
            told.emit(text("a"))
            await store.writing.wait()

    store.open.clear()
    store.failures = 1
    task = asyncio.ensure_future(step())
    await store.writing.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    store.open.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)


async def test_an_attempt_that_follows_goes_on_with_the_next_index() -> None:
    store = Store()
    first, _ = made(store)
    async with first.storing():
        first.emit(STARTED)
        first.emit(text("a"))
    second, log = made(store)
    await second.recall("r")
    assert second.next_index == 2
    # What it tells anew because it begins anew was told.
    second.emit(STARTED)
    async with second.storing():
        second.emit(text("b"))
    assert [event["id"] for event in events(store.frames)] == [0, 1, 2]
    assert shown(log) == store.frames


async def test_the_end_of_the_text_and_that_of_the_run_are_told_once() -> None:
    store = Store()
    first, _ = made(store)
    async with first.storing():
        first.emit(CONTENT_COMPLETED)
    second, _ = made(store)
    await second.recall("r")
    async with second.storing():
        second.emit(CONTENT_COMPLETED)
        second.emit(CANCELLED)
    third, _ = made(store)
    await third.recall("r")
    third.emit(CANCELLED)
    third.emit(text("after all"))
    await third.close()
    assert names(store.frames) == ["RunContentCompleted", "RunCancelled"]
    assert store.ended


async def test_closing_stores_what_is_left_and_lets_readers_go() -> None:
    store = Store()
    told, log = made(store)
    told.emit(STARTED)
    await told.close()
    assert (len(store.frames), store.ended, log.ended) == (1, True, True)


def test_what_is_left_of_a_batch_for_whoever_has_read_some_of_it() -> None:
    batch = Batch(3, ("d", "e", "f"))
    assert unread(batch, 3) is batch
    assert unread(batch, 0) is batch
    assert unread(batch, 5) == Batch(5, ("f",))
    assert unread(batch, 9).frames == ()
