from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from licet.agent import Agent
from licet.db.approval_records import Resolution
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunRecord, RunStatus, SessionKey
from licet.runs import durable_source
from licet.runs.cancelling import cancel_run
from licet.runs.durable_source import DurableSource
from licet.runs.engine import Batch, WorkflowState
from licet.runs.event_source import Gap
from licet.runs.legs import current_work
from licet.runs.logs import RunLogs
from licet.testing import CallTools, Say, ScriptedModel
from licet.tools import tool
from tests.support.durable import (
    EVERYTHING,
    Worker,
    events,
    eventually,
    names,
    output,
    row,
    saying,
)
from tests.support.engine import Stored

SAID = [
    *("RunStarted", "ModelRequestStarted", "RunContent", "RunContent", "ModelRequestCompleted"),
    *("RunContentCompleted", "RunCompleted"),
]


async def source_of(
    worker: Worker, db: InMemoryDb, *, logs: RunLogs | None = None
) -> DurableSource:
    """As a reader of that process has it; with logs of its own, as one of another process."""

    async def find() -> RunRecord | None:
        return await db.store(EVERYTHING).find_run("r")

    source = await DurableSource.open(
        await row(db), find, engine=worker.engine, logs=worker.logs if logs is None else logs
    )
    assert source is not None
    return source


async def read(
    source: DurableSource, *, after: int = -1, before: int | None = None, idle_seconds: float = 15.0
) -> list[str]:
    """All frames to the end, one by one."""
    pieces: list[bytes] = []
    async for piece in source.follow(after=after, before=before, idle_seconds=idle_seconds):
        assert not isinstance(piece, Gap)
        if piece is not None:
            pieces.append(piece)
    text = b"".join(pieces).decode()
    return [f"{frame}\n\n" for frame in text.split("\n\n")[:-1]]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_run_is_read_where_it_works_and_from_another_process(*, elsewhere: bool) -> None:
    gate, db = asyncio.Event(), InMemoryDb()
    agent, _ = saying(Say("one two", hold=gate, hold_after=1))
    worker = Worker(agent, db=db)
    work = await worker.begin()
    source = await source_of(worker, db, logs=RunLogs() if elsewhere else None)
    reading = asyncio.create_task(read(source))
    gate.set()
    await work
    frames = await reading
    assert names(frames) == SAID
    assert [event["id"] for event in events(frames)] == list(range(len(SAID)))


async def test_a_part_of_it_can_be_read() -> None:
    db, (agent, _) = InMemoryDb(), saying("one two")
    worker = Worker(agent, db=db)
    await (await worker.begin())
    for logs in (None, RunLogs()):
        source = await source_of(worker, db, logs=logs)
        assert (source.next_index, source.ended) == (len(SAID), True)
        assert names(await read(source, after=1, before=4)) == SAID[2:4]
        assert names(await read(source, after=4)) == SAID[5:]


async def test_a_reader_waits_for_a_run_that_waits_for_its_turn() -> None:
    db, (agent, _) = InMemoryDb(), saying("one two")
    worker = Worker(agent, db=db)
    await worker.enqueue()
    source = await source_of(worker, db)
    assert (source.next_index, source.ended) == (0, False)
    reading = asyncio.create_task(read(source))
    await worker.runs.start(await worker.claim(), "main")
    assert names(await reading) == SAID


async def test_a_reader_reads_on_where_the_run_goes_on() -> None:
    never, db, kept = asyncio.Event(), InMemoryDb(), Stored()
    agent, model = saying(Say("one two", hold=never, hold_after=1), "one two")
    first = Worker(agent, db=db, stored=kept)
    await first.begin()
    source = await source_of(first, db)
    reading = asyncio.create_task(read(source))
    await eventually(lambda: len(kept["r"].frames) > 2, "its first word")
    await first.runs.leave()
    await (await Worker(agent, db=db, stored=kept, executor_id="p2").go_on())
    frames = await reading
    assert [event["id"] for event in events(frames)] == list(range(len(frames)))
    assert names(frames)[-1] == "RunCompleted"
    assert len(model.requests) == 2


async def go_on_elsewhere(db: InMemoryDb, agent: Agent, kept: Stored, **decided: Any) -> Worker:
    """Let a paused run go on in another process, with what was decided of its last call."""
    paused = await row(db)
    run = await output(db)
    tools = (*run.tools[:-1], msgspec.structs.replace(run.tools[-1], **decided))
    waits = replace(
        paused,
        status=RunStatus.PENDING,
        body=msgspec.structs.replace(run, tools=tools).to_json(),
        updated_at_us=paused.updated_at_us + 1,
    )
    store = db.store(EVERYTHING)
    assert await store.continue_run(waits, paused_at_us=paused.updated_at_us, history_runs=0)
    other = Worker(agent, db=db, stored=kept, executor_id="p2")
    await other.runs.start(await other.claim(), "main")
    await other.engine.tasks["r:1"]
    return other


def paying(*turns: Any) -> Agent:
    """An agent that pays when it is told to."""

    @tool(requires_confirmation=True)
    def pay() -> str:
        """Pay."""
        return "paid"

    return Agent(id="a", model=ScriptedModel(list(turns)), durable=True, tools=[pay])


async def test_a_run_that_paused_again_elsewhere_is_read_to_its_last_pause() -> None:
    db, kept, calls = InMemoryDb(), Stored(), CallTools(("pay", {}))
    agent = paying(calls, calls)
    first = Worker(agent, db=db, stored=kept)
    await (await first.begin())
    assert names(await read(await source_of(first, db)))[-1] == "RunPaused"
    await go_on_elsewhere(db, agent, kept, confirmed=True)
    source = await source_of(first, db)
    frames = await read(source)
    assert [event["id"] for event in events(frames)] == list(range(source.next_index))
    assert names(frames).count("RunPaused") == 2
    assert names(frames)[-1] == "RunPaused"


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_run_that_has_ended_is_read_over_all_its_legs(*, elsewhere: bool) -> None:
    db, kept = InMemoryDb(), Stored()
    agent = paying(CallTools(("pay", {})), "done")
    first = Worker(agent, db=db, stored=kept)
    await (await first.begin())
    early = await source_of(first, db, logs=RunLogs() if elsewhere else None)
    await go_on_elsewhere(db, agent, kept, confirmed=True)
    late = await source_of(first, db, logs=RunLogs() if elsewhere else None)
    # Whoever began to read before it went on reads the same.
    for source in (late, early):
        frames = await read(source)
        assert [event["id"] for event in events(frames)] == list(range(late.next_index))
        assert (names(frames)[4:6], names(frames)[-1]) == (
            ["RunPaused", "RunContinued"],
            "RunCompleted",
        )


async def test_a_run_that_was_ended_while_it_waited_has_ended_for_its_readers() -> None:
    db, kept = InMemoryDb(), Stored()
    worker = Worker(paying(CallTools(("pay", {}))), db=db, stored=kept)
    await (await worker.begin())
    run = await row(db)
    await cancel_run(
        run, store=db.store(EVERYTHING), stop_here=lambda *_: False, reason="enough", now_us=2**50
    )
    source = await source_of(worker, db)
    frames = await read(source)
    assert (source.ended, source.next_index) == (True, len(frames))
    assert names(frames)[-2:] == ["RunPaused", "RunCancelled"]
    assert names(await read(source, after=len(frames) - 2)) == ["RunCancelled"]
    assert await read(source, after=len(frames) - 1, before=len(frames)) == []


async def test_a_run_that_ended_without_telling_it_is_told_of_by_its_row() -> None:
    db, (agent, _) = InMemoryDb(), saying("one two")
    worker = Worker(agent, db=db)
    await (await worker.begin())
    told = worker.engine.stored["r"]
    told.batches.pop()
    told.closed, told.state = False, WorkflowState.ENDED
    source = await source_of(worker, db, logs=RunLogs())
    assert names(await read(source))[-1] == "RunCompleted"


async def test_after_a_long_silence_it_is_asked_whether_the_run_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(durable_source, "_LONG_SILENCE_SECONDS", 0.0)
    db, (agent, _) = InMemoryDb(), saying("one two")
    worker = Worker(agent, db=db)
    await (await worker.begin())

    class Silent:
        """An engine in which the run is at work for ever."""

        async def events(
            self, _run_id: str, *, idle_seconds: float | None
        ) -> AsyncGenerator[Batch | None, None]:
            yield worker.engine.stored["r"].batches[0]
            while idle_seconds is not None:
                yield None

    source = await source_of(worker, db, logs=RunLogs())
    source._engine = Silent()  # type: ignore[assignment]  # all that is asked of it
    assert names(await read(source))[-1] == "RunCompleted"


async def test_a_run_that_is_deleted_meanwhile_ends_for_its_readers() -> None:
    db, (agent, _) = InMemoryDb(), saying("one two")
    worker = Worker(agent, db=db)
    await worker.enqueue()
    source = await source_of(worker, db)
    await db.store(EVERYTHING).delete_sessions([SessionKey("", "s")])
    (last,) = events(await read(source))
    assert (last["event"], last["error_type"]) == ("RunError", "deleted")


async def test_of_a_run_whose_events_are_kept_no_longer_there_is_no_source() -> None:
    db, (agent, _) = InMemoryDb(), saying("one two")
    worker = Worker(agent, db=db)
    await (await worker.begin())
    worker.engine.stored.clear()

    async def find() -> RunRecord | None:
        return None

    assert (
        await DurableSource.open(await row(db), find, engine=worker.engine, logs=RunLogs()) is None
    )


@tool(approval="admin")
def refund() -> str:
    """Give money back."""
    return "given back"


def asking_twice() -> Agent:
    turn = CallTools(("refund", {}))
    return Agent(id="a", model=ScriptedModel([turn, turn, "done"]), tools=[refund])


async def approve(worker: Worker, db: InMemoryDb) -> None:
    """Approve what the run waits for, and have it go on to its end, or its next pause."""
    *_, approval = await db.approvals().of_run("r")
    resolution = Resolution(approved=True, by=None, by_owner=None, at_us=time.time_ns() // 1000)
    assert await db.approvals().resolve(approval.id, resolution)
    run = await worker.claim()
    await worker.runs.start(run, "main")
    await worker.engine.tasks[current_work(run.run)]


PAUSES = ["RunStarted", *("RunPaused", "RunContinued") * 2, "RunCompleted"]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_run_is_read_over_its_pauses_to_where_it_stands(*, elsewhere: bool) -> None:
    db = InMemoryDb()
    worker = Worker(asking_twice(), db=db)
    await (await worker.begin())
    for told in (PAUSES[:2], PAUSES[:4], PAUSES):
        source = await source_of(worker, db, logs=RunLogs() if elsewhere else None)
        frames = await read(source)
        assert [name for name in names(frames) if name in PAUSES] == told
        assert [event["id"] for event in events(frames)] == list(range(len(frames)))
        assert (source.next_index, source.ended) == (len(frames), True)
        if told != PAUSES:
            await approve(worker, db)


async def test_a_reader_of_a_process_in_which_the_run_had_paused_is_told_the_newer_pause() -> None:
    db, kept = InMemoryDb(), Stored()
    first = Worker(asking_twice(), db=db, stored=kept)
    await (await first.begin())
    second = Worker(first.agent, db=db, stored=kept, executor_id="p2")
    await approve(second, db)
    frames = await read(await source_of(first, db))
    assert [name for name in names(frames) if name in PAUSES] == PAUSES[:4]


async def test_a_run_that_was_cancelled_while_it_waited_is_told_to_its_end() -> None:
    db = InMemoryDb()
    worker = Worker(asking_twice(), db=db)
    await (await worker.begin())
    await cancel_run(
        await row(db),
        store=db.store(EVERYTHING),
        stop_here=lambda _run_id, _reason: False,
        reason="cancelled",
        now_us=time.time_ns() // 1000,
    )
    for logs in (None, RunLogs()):
        frames = await read(await source_of(worker, db, logs=logs))
        assert names(frames)[-2:] == ["RunPaused", "RunCancelled"]
        assert [event["id"] for event in events(frames)] == list(range(len(frames)))


async def test_what_was_told_before_a_pause_and_is_kept_no_longer_is_a_gap() -> None:
    db = InMemoryDb()
    worker = Worker(asking_twice(), db=db)
    await (await worker.begin())
    told_before = len(worker.engine.stored["r"].frames)
    await approve(worker, db)
    del worker.engine.stored["r"]
    source = await source_of(worker, db, logs=RunLogs())
    gap, *rest = [piece async for piece in source.follow(idle_seconds=15.0)]
    assert gap == Gap(0, told_before)
    assert b"".join(piece for piece in rest if isinstance(piece, bytes)).count(b"RunPaused") == 2
