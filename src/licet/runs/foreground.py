"""Foreground runs: each a task of this process, which lives on when its client leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from licet.agent.output import RunOutput
from licet.agent.run import AgentRun

logger = logging.getLogger(__name__)

_CANCEL_SECONDS = 5.0


class ForegroundRuns:
    """The runs that work in this process."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[RunOutput]] = set()
        self._beginning: set[asyncio.Task[asyncio.Task[RunOutput]]] = set()

    @property
    def count(self) -> int:
        """How many runs are at work."""
        return len(self._tasks)

    async def begin(
        self, run: AgentRun, *, ended: Callable[[], None] | None = None
    ) -> asyncio.Task[RunOutput]:
        """Store a run and let it work to its end; see ``start``.

        A caller that is cancelled meanwhile misses the answer: what is stored is worked on.

        Raises:
            StorageError: it could not be stored; nothing was begun.
        """

        async def begin_and_start() -> asyncio.Task[RunOutput]:
            await run.begin()
            return self.start(run, ended=ended)

        beginning = asyncio.get_running_loop().create_task(begin_and_start())
        self._beginning.add(beginning)
        beginning.add_done_callback(self._beginning.discard)
        return await asyncio.shield(beginning)

    def start(
        self, run: AgentRun, *, ended: Callable[[], None] | None = None
    ) -> asyncio.Task[RunOutput]:
        """Let a run that was begun work to its end. ``ended`` is called then, however it ends.

        Await the task through ``asyncio.shield``, so that a reader who leaves does not stop it.
        """
        task = asyncio.get_running_loop().create_task(run.finish())
        self._tasks.add(task)

        def done(finished: asyncio.Task[RunOutput]) -> None:
            self._tasks.discard(finished)
            if ended is not None:
                ended()
            if not finished.cancelled() and (error := finished.exception()) is not None:
                logger.error("run %s ended badly", run.request.run_id, exc_info=error)

        task.add_done_callback(done)
        return task

    async def shut_down(self, *, grace_seconds: float) -> None:
        """Let runs end for ``grace_seconds``, then cancel the rest, which says so on each.

        What does not end even then (a tool that ignores it) is left behind.
        """
        if self._beginning:
            await asyncio.wait(self._beginning)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        left = list(self._tasks)
        for task in left:
            task.cancel("the server was stopped")
        if left:
            _, stuck = await asyncio.wait(left, timeout=_CANCEL_SECONDS)
            if stuck:
                logger.error("%d runs ignore that they are cancelled; left behind", len(stuck))
