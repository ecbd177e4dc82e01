"""StoredRun: the events of a run that are not at hand here, made of its row."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from licet.agent.output import RunOutput
from licet.authn.outage import Outage
from licet.db.records import RunRecord, RunStatus
from licet.db.run_states import AT_REST
from licet.errors import StorageError
from licet.runs.event_source import Piece
from licet.runs.frames import frame
from licet.runs.replay import replay

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0

Find = Callable[[], Awaitable[RunRecord | None]]
"""The run's row as it is now; None: there is none any more."""


class StoredRun:
    """Replays a run. One that has not ended is looked at again until it has.

    So a client that is led to another process than the one that works on its run learns how it
    ends, a moment later.

    Args:
        record: the run as it was found.
        find: finds it again.
        look_seconds: how often.
    """

    first_index = 0
    replayed = True

    def __init__(
        self, record: RunRecord, find: Find, *, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._find = find
        self._look_seconds = look_seconds
        self._frames: tuple[bytes, ...] = ()
        self._ended = False
        self._take(RunOutput.from_json(record.body), record.status)

    @property
    def next_index(self) -> int:
        """The index that the next event will have."""
        return len(self._frames)

    @property
    def ended(self) -> bool:
        """Whether no event will follow."""
        return self._ended

    async def follow(
        self, *, after: int = -1, before: int | None = None, idle_seconds: float
    ) -> AsyncIterator[Piece]:
        """Events with an index above ``after`` and below ``before``. See ``EventSource``."""
        at = after + 1
        clock = asyncio.get_running_loop().time
        silent_since = clock()
        outage = Outage(
            logger, failing="a run cannot be looked at", working="runs can be looked at again"
        )
        while before is None or at < before:
            ready = self._frames[at:before]
            if ready:
                at += len(ready)
                silent_since = clock()
                yield b"".join(ready)
                continue
            if self._ended:
                return
            silent_for = clock() - silent_since
            if silent_for >= idle_seconds:
                silent_since = clock()
                yield None
                continue
            await asyncio.sleep(min(self._look_seconds, idle_seconds - silent_for))
            await self._look(outage)

    async def _look(self, outage: Outage) -> None:
        try:
            record = await self._find()
        except StorageError as error:
            # The run goes on, and so does whoever waits for its end.
            outage.failed(error)
            return
        outage.worked()
        if self._ended:
            return
        if record is None:
            self._take(deleted(self._run), RunStatus.ERROR)
        else:
            self._take(RunOutput.from_json(record.body), record.status)

    def _take(self, run: RunOutput, status: RunStatus) -> None:
        # The row's own status is the newer one where only that was changed.
        self._run = msgspec.structs.replace(run, status=status)
        self._frames = tuple(frame(event, index) for index, event in enumerate(replay(self._run)))
        self._ended = status in AT_REST


def deleted(run: RunOutput) -> RunOutput:
    """What is told of a run whose row is gone."""
    return msgspec.structs.replace(
        run, status=RunStatus.ERROR, content="The run was deleted", error_type="deleted"
    )
