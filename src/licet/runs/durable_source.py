"""DurableSource: the events of a durable run, wherever it is worked on, also over a crash.

Where it works in this process they come from its log, without a detour; else, and when it goes on
elsewhere, from the engine. Either way they are stored before anybody sees them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from licet.agent.output import RunOutput
from licet.db.records import RunRecord, RunStatus
from licet.db.run_states import ENDED
from licet.runs.durable_events import count_of, ends_the_run
from licet.runs.engine import DurableEngine
from licet.runs.event_source import Gap, Piece
from licet.runs.frames import frame
from licet.runs.logs import RunLogs
from licet.runs.replay import replay
from licet.runs.stored_run import deleted

_LOOK_SECONDS = 0.02
_LOOK_AT_MOST_SECONDS = 0.5
_BEGINS_SECONDS = 0.1
# After so long it is asked whether the run has ended, and only nobody has told it yet.
_LONG_SILENCE_SECONDS = 20.0

Find = Callable[[], Awaitable[RunRecord | None]]
"""The run's row as it is now; None: there is none any more."""


class DurableSource:
    """The events of one run. See ``EventSource``.

    Args:
        record: the run as it was found.
        find: finds it again.
        engine: where its events are stored.
        logs: the logs of this process.
        next_index: how many events there are by now.
        ended: whether none follows.
    """

    replayed = False
    first_index = 0

    def __init__(
        self,
        record: RunRecord,
        find: Find,
        *,
        engine: DurableEngine,
        logs: RunLogs,
        next_index: int,
        ended: bool,
    ) -> None:
        self._record = record
        self._find = find
        self._engine = engine
        self._logs = logs
        self.next_index = next_index
        self.ended = ended

    @classmethod
    async def open(
        cls, record: RunRecord, find: Find, *, engine: DurableEngine, logs: RunLogs
    ) -> DurableSource | None:
        """The source of a run. None: it has ended, and its events are kept no longer."""
        next_index, ended = 0, False
        async for batch in engine.events(record.run_id, idle_seconds=None):
            if batch is not None:
                next_index = batch.first_index + len(batch.frames)
                ended = ends_the_run(batch.frames[-1].encode())
        if next_index == 0 and record.status in ENDED:
            return None
        return cls(record, find, engine=engine, logs=logs, next_index=next_index, ended=ended)

    async def follow(
        self, *, after: int = -1, before: int | None = None, idle_seconds: float
    ) -> AsyncIterator[Piece]:
        """Events with an index above ``after`` and below ``before``. See ``EventSource``."""
        at, pause_seconds = after + 1, _LOOK_SECONDS
        clock = asyncio.get_running_loop().time
        heard_at = clock()
        if self._record.status is RunStatus.PENDING:
            # Mostly it begins here, in a moment.
            await self._logs.opened(self._record.run_id, within_seconds=_BEGINS_SECONDS)
        while before is None or at < before:
            async with aclosing(self._told(at, before, idle_seconds)) as told:
                async for piece in told:
                    yield piece
                    if piece is None:
                        if clock() - heard_at >= _LONG_SILENCE_SECONDS:
                            break
                        continue
                    heard_at, pause_seconds = clock(), _LOOK_SECONDS
                    at += _events_in(piece)
                    if isinstance(piece, bytes) and ends_the_run(piece):
                        return
            if (end := await self._end(at, before)) is not None:
                yield end
                return
            if clock() - heard_at >= idle_seconds:
                heard_at = clock()
                yield None
            # It waits for its turn, here or elsewhere, or goes on elsewhere in a moment.
            await self._logs.opened(self._record.run_id, within_seconds=pause_seconds)
            pause_seconds = min(pause_seconds * 1.5, _LOOK_AT_MOST_SECONDS)

    async def _told(
        self, at: int, before: int | None, idle_seconds: float
    ) -> AsyncGenerator[Piece, None]:
        """What is told from an index on, up to where it breaks off."""
        log = self._logs.get(self._record.run_id)
        if log is not None and log.first_index <= at and not (log.ended and log.next_index <= at):
            async for piece in log.follow(after=at - 1, before=before, idle_seconds=idle_seconds):
                yield piece
            return
        events = self._engine.events(self._record.run_id, idle_seconds=idle_seconds)
        async with aclosing(events) as batches:
            async for batch in batches:
                if batch is None:
                    yield None
                    continue
                first = max(at - batch.first_index, 0)
                last = None if before is None else max(before - batch.first_index, 0)
                if frames := batch.frames[first:last]:
                    at += len(frames)
                    yield "".join(frames).encode()
                if before is not None and at >= before:
                    return

    async def _end(self, index: int, before: int | None) -> bytes | None:
        """The last event of a run that has ended without telling it; None: it has not ended.

        None too where it is not asked for.
        """
        if before is not None and index >= before:
            return None
        run = await self._find()
        if run is not None and run.status not in ENDED:
            return None
        output = RunOutput.from_json((run or self._record).body)
        return frame(replay(deleted(output) if run is None else output)[-1], index)


def _events_in(piece: bytes | Gap) -> int:
    return piece.count if isinstance(piece, Gap) else count_of(piece)
