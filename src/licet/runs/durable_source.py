"""DurableSource: the events of a durable run, wherever it is worked on, also over a crash.

Where it works in this process they come from its log, without a detour; else, and when it goes on
elsewhere, from the engine. Either way they are stored before anybody sees them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from licet.agent.output import RunOutput
from licet.db.records import RunRecord, RunStatus
from licet.db.run_states import AT_REST, ENDED
from licet.runs.durable_events import count_of, ends_the_run, pauses_the_run
from licet.runs.engine import DurableEngine
from licet.runs.event_source import Gap, Piece
from licet.runs.frames import frame
from licet.runs.legs import current_leg, told_before, work_id
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
        told: how many events the engine has by now, or had before they were forgotten.
        next_index: the same, with the end of a run that ended while it waited.
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
        told: int,
        next_index: int,
        ended: bool,
    ) -> None:
        self._record = record
        self._find = find
        self._engine = engine
        self._logs = logs
        self._told_by_now = told
        self.next_index = next_index
        self.ended = ended

    @classmethod
    async def open(
        cls, record: RunRecord, find: Find, *, engine: DurableEngine, logs: RunLogs
    ) -> DurableSource | None:
        """The source of a run. None: it is at rest, and its events are kept no longer."""
        told = await _told(engine, record)
        if not told.last and record.status in AT_REST:
            return None
        next_index, ended = told.count, ends_the_run(told.last)
        if pauses_the_run(told.last) and record.status is not RunStatus.PAUSED:
            # Ended while it waited: nobody was at work who would have told it.
            ended = record.status in ENDED and told.leg == current_leg(record)
            next_index += ended
        return cls(
            record,
            find,
            engine=engine,
            logs=logs,
            told=told.count,
            next_index=next_index,
            ended=ended,
        )

    async def follow(
        self, *, after: int = -1, before: int | None = None, idle_seconds: float
    ) -> AsyncIterator[Piece]:
        """Events with an index above ``after`` and below ``before``. See ``EventSource``."""
        at, pause_seconds, last = after + 1, _LOOK_SECONDS, b""
        clock = asyncio.get_running_loop().time
        heard_at = clock()
        if self._record.status is RunStatus.PENDING:
            # Mostly it begins here, in a moment.
            await self._logs.opened(self._record.run_id, within_seconds=_BEGINS_SECONDS)
        while before is None or at < before:
            async with aclosing(self._told(at, before, idle_seconds)) as told:
                async for piece in told:
                    yield piece
                    if piece is not None:
                        heard_at, pause_seconds = clock(), _LOOK_SECONDS
                        at += _events_in(piece)
                        last = piece if isinstance(piece, bytes) else last
                    # After a pause it may have gone on.
                    is_end = ends_the_run(last) and at >= self._told_by_now
                    if is_end or clock() - heard_at >= _LONG_SILENCE_SECONDS:
                        break
            if (rest := await self._rest(at, before, last)) is not None:
                if rest:
                    yield rest
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
        current = current_leg(self._record)
        for leg in range(current + 1):
            # An earlier one tells nothing more.
            patience_seconds = idle_seconds if leg == current else None
            async with aclosing(self._stored(leg, at, before, patience_seconds)) as stored:
                async for piece in stored:
                    yield piece
                    at += _events_in(piece)
            if before is not None and at >= before:
                return

    async def _stored(
        self, leg: int, at: int, before: int | None, idle_seconds: float | None
    ) -> AsyncGenerator[Piece, None]:
        """What the engine has of a leg, from an index on. Without patience: what it has now."""
        work = work_id(self._record.run_id, leg)
        async with aclosing(self._engine.events(work, idle_seconds=idle_seconds)) as batches:
            async for batch in batches:
                if batch is None:
                    if idle_seconds is None:
                        return
                    yield None
                    continue
                if batch.first_index > at:
                    # What was told before is kept no longer.
                    missed_to = (
                        batch.first_index if before is None else min(batch.first_index, before)
                    )
                    yield Gap(at, missed_to - at)
                    at = missed_to
                first = max(at - batch.first_index, 0)
                last = None if before is None else max(before - batch.first_index, 0)
                if frames := batch.frames[first:last]:
                    at += len(frames)
                    yield "".join(frames).encode()
                if before is not None and at >= before:
                    return

    async def _rest(self, index: int, before: int | None, last: bytes) -> bytes | None:
        """What is left to tell where nothing more is told: nothing, or how the run ended or paused.

        None: it goes on. ``last`` is what was told last.
        """
        has_paused = pauses_the_run(last)
        if (before is not None and index >= before) or (ends_the_run(last) and not has_paused):
            return b""
        run = await self._find()
        if run is None:
            output = deleted(RunOutput.from_json(self._record.body))
            return frame(replay(output)[-1], index)
        self._record = run
        if run.status not in AT_REST:
            return None
        if has_paused:
            # It may have gone on since, and have paused again, or ended.
            told = await _told(self._engine, run)
            self._told_by_now = told.count
            if told.last and index < told.count:
                return None
            if run.status is RunStatus.PAUSED:
                return b""
        output = msgspec.structs.replace(RunOutput.from_json(run.body), status=run.status)
        return frame(replay(output)[-1], index)


@dataclass(frozen=True, slots=True)
class _Told:
    """How many events of a run were told, the last one that is kept, and of which leg it is."""

    count: int
    last: bytes
    leg: int


async def _told(engine: DurableEngine, run: RunRecord) -> _Told:
    # What was told in the foreground, before it went on as a durable one, is not kept there.
    count, last, last_leg = told_before(run), b"", 0
    for leg in range(current_leg(run) + 1):
        async for batch in engine.events(work_id(run.run_id, leg), idle_seconds=None):
            if batch is not None:
                count = max(count, batch.first_index + len(batch.frames))
                last, last_leg = batch.frames[-1].encode(), leg
    return _Told(count, last, last_leg)


def _events_in(piece: Piece) -> int:
    if piece is None:
        return 0
    return piece.count if isinstance(piece, Gap) else count_of(piece)
