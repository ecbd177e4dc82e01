"""DurableEvents: the events of a durable run, of which nobody is shown one that is not stored.

So whoever reads on after a crash, wherever the run goes on, has seen nothing that is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from licet.agent.events import AgentEvent, RunContentCompleted, RunContinued, RunStarted
from licet.runs.engine import Batch, DurableEngine, unread
from licet.runs.log import EventLog

Frame = Callable[[AgentEvent, int], bytes]
"""An event with its index as readers get it."""

_PAUSED = "RunPaused"
_TERMINAL = frozenset(("RunCompleted", "RunError", "RunCancelled", _PAUSED))


class DurableEvents:
    """The events of a leg of a run, stored in batches: while one is written, the next is gathered.

    Args:
        engine: where they are stored.
        log: where readers of this process find what is stored; its next event is the leg's first.
        frame: how they look.
    """

    def __init__(self, engine: DurableEngine, log: EventLog, *, frame: Frame) -> None:
        self._engine = engine
        self._log = log
        self._frame = frame
        self.first_index = self._next_index = log.next_index
        self._last = ""
        self._waiting: list[bytes] = []
        self._writing = asyncio.Lock()
        self._more = asyncio.Event()

    @property
    def next_index(self) -> int:
        """The index that the next event will have."""
        return self._next_index

    async def recall(self, work: str) -> None:
        """Begin with what an earlier attempt has stored. Not in a step: it is part of none."""
        async for batch in self._engine.events(work, idle_seconds=None):
            if batch is None:
                break
            self._log.begin_at(batch.first_index)
            for frame in unread(batch, self._log.next_index).frames:
                self._log.append(frame.encode())
                self._last = _name(frame)
            self._next_index = self._log.next_index

    def emit(self, event: AgentEvent) -> None:
        """Take an event. One that an earlier attempt has told in its place is not told again."""
        told_before = (
            (isinstance(event, RunStarted | RunContinued) and self._next_index > self.first_index)
            or (isinstance(event, RunContentCompleted) and self._last == event.event)
            or self._last in _TERMINAL
        )
        if told_before:
            return
        self._waiting.append(self._frame(event, self._next_index))
        self._next_index += 1
        self._last = event.event
        self._more.set()

    @asynccontextmanager
    async def storing(self) -> AsyncIterator[None]:
        """Store what is told inside of the block, as it comes; all of it at its end. In a step."""
        ended = asyncio.Event()
        # In the step's own context: the engine asks which one it is.
        task = asyncio.create_task(self._store_until(ended))
        try:
            yield
        except BaseException:
            ended.set()
            self._more.set()
            # What could not be stored is kept, and is stored with what comes next.
            with suppress(Exception):
                await _finished(task)
            raise
        ended.set()
        self._more.set()
        await _finished(task)

    async def close(self) -> None:
        """Store what is left, and say that no event follows. In a step."""
        async with self.storing():
            pass
        await self._engine.close_events()
        self._log.close()

    async def _store_until(self, ended: asyncio.Event) -> None:
        while True:
            self._more.clear()
            while self._waiting:
                await self._store_waiting()
            if ended.is_set():
                # Another step's writer may still be at what was told in this one.
                await self._store_waiting()
                return
            await self._more.wait()

    async def _store_waiting(self) -> None:
        async with self._writing:
            frames = self._waiting
            if not frames:
                return
            self._waiting = []
            first_index = self._log.next_index
            texts = tuple(frame.decode() for frame in frames)
            try:
                await self._engine.store_events(Batch(first_index, texts))
            except Exception:
                # Perhaps they are stored all the same: who reads passes over what he has read.
                self._waiting = frames + self._waiting
                raise
            for frame in frames:
                self._log.append(frame)


async def _finished(task: asyncio.Task[None]) -> None:
    """Wait for a task to its end, also when cancelled: what it writes would be written twice."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.done():
                break
            cancelled = error
        except BaseException:  # noqa: BLE001 - it is raised below
            break
    if cancelled is None:
        task.result()
    elif task.cancelled() or task.exception() is not None:
        # Whoever cancels is not told of a failure instead.
        raise cancelled
    elif (current := asyncio.current_task()) is not None:
        # What was done meanwhile shall be kept: it is cancelled where the step is being stored.
        asyncio.get_running_loop().call_soon(current.cancel, *cancelled.args)


def _name(frame: str) -> str:
    return frame.partition("\n")[0].removeprefix("event: ")


def count_of(frames: bytes) -> int:
    """How many frames were joined: each has one line with its index, and its data on another."""
    return frames.count(b"\nid: ")


def ends_the_run(frames: bytes) -> bool:
    """Whether the last of some joined frames is the last of its run, or of one of its legs."""
    return _last_name(frames) in _TERMINAL


def pauses_the_run(frames: bytes) -> bool:
    """Whether the last of some joined frames says that the run has paused."""
    return _last_name(frames) == _PAUSED


def _last_name(frames: bytes) -> str:
    last = frames[:-2].rpartition(b"\n\n")[2]
    return _name(last.decode())
