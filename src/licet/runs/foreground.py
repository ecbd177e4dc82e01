"""Foreground runs: each a task of this process, which lives on when its client leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from licet.agent.output import RunOutput
from licet.agent.run import AgentRun

logger = logging.getLogger(__name__)


class ForegroundRuns:
    """The runs that work in this process."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[RunOutput]] = set()

    @property
    def count(self) -> int:
        """How many runs are at work."""
        return len(self._tasks)

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
        """Let runs end for ``grace_seconds``, then cancel the rest, which says so on each."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        left = list(self._tasks)
        for task in left:
            task.cancel("the server was stopped")
        if left:
            await asyncio.gather(*left, return_exceptions=True)
