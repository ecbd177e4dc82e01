"""Foreground runs: each a task of this process, which lives on when its client leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from licet.agent.execution import Stop
from licet.agent.output import RunOutput
from licet.agent.run import AgentRun
from licet.authn.principal import Principal
from licet.db.work_records import Once

logger = logging.getLogger(__name__)

_CANCEL_SECONDS = 5.0


Lost = Callable[[Principal | None], str | None]
"""Why a principal's authority is gone; None: it is not."""


def nobody_loses(_principal: Principal | None) -> None:
    """Nobody loses authority where none is asked for."""


class ForegroundRuns:
    """The runs that work in this process. ``lost`` is asked when one starts."""

    def __init__(self, lost: Lost = nobody_loses) -> None:
        self._lost = lost
        self._tasks: dict[asyncio.Task[RunOutput], AgentRun] = {}
        self._beginning: set[asyncio.Task[asyncio.Task[RunOutput]]] = set()

    @property
    def count(self) -> int:
        """How many runs are at work."""
        return len(self._tasks)

    async def begin(
        self,
        run: AgentRun,
        *,
        ended: Callable[[], None] | None = None,
        once: Once | None = None,
        paused_at_us: int | None = None,
    ) -> asyncio.Task[RunOutput]:
        """Store a run and let it work to its end; see ``start``.

        Or go on with one that has paused: ``paused_at_us`` is ``updated_at_us`` of its row.
        ``ended`` is called also where nothing was begun. A caller that is cancelled meanwhile
        misses the answer: what is stored is worked on.

        Raises:
            NotPausedError: the run that paused waits no more.
            RepeatedRequestError: ``once`` was used before; nothing was begun.
            StorageError: it could not be stored; nothing was begun.
        """

        async def begin_and_start() -> asyncio.Task[RunOutput]:
            try:
                if paused_at_us is None:
                    await run.begin(once=once)
                else:
                    await run.go_on(paused_at_us=paused_at_us)
            except BaseException:
                if ended is not None:
                    ended()
                raise
            return self.start(run, ended=ended)

        beginning = asyncio.get_running_loop().create_task(begin_and_start())
        self._beginning.add(beginning)
        beginning.add_done_callback(self._beginning.discard)
        return await asyncio.shield(beginning)

    def start(
        self, run: AgentRun, *, ended: Callable[[], None] | None = None
    ) -> asyncio.Task[RunOutput]:
        """Let a run that was begun work to its end. ``ended`` is called then, however it ends.

        A run whose principal was revoked while it was begun ends at once, and says so. Await the
        task through ``asyncio.shield``, so that a reader who leaves does not stop it.
        """
        reason = self._lost(run.request.principal)
        if reason is not None:
            run.stop(_revoked(reason))
        task = asyncio.get_running_loop().create_task(run.finish())
        self._tasks[task] = run

        def done(finished: asyncio.Task[RunOutput]) -> None:
            self._tasks.pop(finished, None)
            if ended is not None:
                ended()
            if not finished.cancelled() and (error := finished.exception()) is not None:
                logger.error("run %s ended badly", run.request.run_id, exc_info=error)

        task.add_done_callback(done)
        return task

    def cancel(self, run_id: str, reason: str) -> bool:
        """Stop a run because somebody asks for it. Again, it does nothing more.

        False: it does not work here, or is being stored as it ended.
        """
        for task, run in list(self._tasks.items()):
            if run.request.run_id == run_id:
                if _cancel(task, run, Stop(reason)):
                    logger.info("run %s is stopped: %s", run_id, reason)
                return run.stopped
        return False

    def stop_revoked(self) -> int:
        """Stop the runs whose principal's authority is gone. Answers how many."""
        stopped = 0
        for task, run in list(self._tasks.items()):
            reason = self._lost(run.request.principal)
            if reason is not None and _cancel(task, run, _revoked(reason)):
                logger.warning("run %s is stopped: %s", run.request.run_id, reason)
                stopped += 1
        return stopped

    async def shut_down(self, *, grace_seconds: float) -> None:
        """Let runs end for ``grace_seconds``, then cancel the rest, which says so on each.

        What does not end even then (a tool that ignores it) is left behind.
        """
        if self._beginning:
            await asyncio.wait(self._beginning)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        left = list(self._tasks)
        for task, run in list(self._tasks.items()):
            _cancel(task, run, Stop("the server was stopped"))
        if left:
            _, stuck = await asyncio.wait(left, timeout=_CANCEL_SECONDS)
            if stuck:
                logger.error("%d runs do not end; left behind", len(stuck))


def _revoked(reason: str) -> Stop:
    return Stop(reason, "revoked")


def _cancel(task: asyncio.Task[RunOutput], run: AgentRun, stop: Stop) -> bool:
    # Once, and not while the run stores how it ended: that would be disturbed.
    first = run.stop(stop)
    if first:
        task.cancel()
    return first
