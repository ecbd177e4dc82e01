"""RunLogs: the event logs of this process, by run, for a while also when the run has ended."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from licet.runs.log import EventLog

KEEP_SECONDS = 600.0
MAX_ENDED = 1000
MAX_ENDED_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Ended:
    log: EventLog
    at: float


class RunLogs:
    """Logs of runs that work, all of them; and of runs that have ended, so many and so long.

    Whoever holds a log reads it to its end, also when it is kept here no longer. For one event
    loop.

    Args:
        keep_seconds: how long a log is kept after its run has ended.
        max_ended: how many of those are kept.
        max_ended_bytes: how large those are together.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        *,
        keep_seconds: float = KEEP_SECONDS,
        max_ended: int = MAX_ENDED,
        max_ended_bytes: int = MAX_ENDED_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep_seconds = keep_seconds
        self._max_ended = max_ended
        self._max_ended_bytes = max_ended_bytes
        self._clock = clock
        self._working: dict[str, EventLog] = {}
        self._expected: dict[str, asyncio.Event] = {}
        self._ended: OrderedDict[str, _Ended] = OrderedDict()
        self._ended_bytes = 0

    def __len__(self) -> int:
        return len(self._working) + len(self._ended)

    def open(self, run_id: str, *, first_index: int = 0, leg: int = 0) -> EventLog:
        """The log of a run that begins; of one that goes on, the log it had, if that is kept.

        ``first_index`` is the index that its next event has, ``leg`` the leg that it is of.
        """
        log = self._kept(run_id, first_index)
        if log is None:
            log = EventLog(first_index=first_index, leg=leg)
        else:
            log.reopen(leg=leg)
        self._working[run_id] = log
        if (opened := self._expected.pop(run_id, None)) is not None:
            opened.set()
        return log

    async def opened(self, run_id: str, *, within_seconds: float) -> None:
        """Wait until a run begins here, or the time is over."""
        if run_id in self._working:
            return
        opened = self._expected.setdefault(run_id, asyncio.Event())
        try:
            async with asyncio.timeout(within_seconds):
                await opened.wait()
        except TimeoutError:
            self._expected.pop(run_id, None)

    def get(self, run_id: str) -> EventLog | None:
        """The log of a run. None: it is not kept here, or no longer, or never was."""
        self._forget_old()
        ended = self._ended.get(run_id)
        return self._working.get(run_id) if ended is None else ended.log

    def _kept(self, run_id: str, next_index: int) -> EventLog | None:
        ended = self._ended.pop(run_id, None)
        if ended is None:
            return None
        self._ended_bytes -= ended.log.size_bytes
        if ended.log.next_index != next_index:
            return None
        return ended.log

    def keep(self, run_id: str, log: EventLog) -> None:
        """A run has ended, or paused, and its log was closed: keep it for a while.

        A run that goes on already has another one, which counts.
        """
        if self._working.get(run_id) is log:
            del self._working[run_id]
            self._ended[run_id] = _Ended(log, self._clock())
            self._ended_bytes += log.size_bytes
        self._forget_old()

    def _forget_old(self) -> None:
        too_old = self._clock() - self._keep_seconds
        while self._ended and (
            len(self._ended) > self._max_ended
            or self._ended_bytes > self._max_ended_bytes
            or next(iter(self._ended.values())).at <= too_old
        ):
            _, oldest = self._ended.popitem(last=False)
            self._ended_bytes -= oldest.log.size_bytes
