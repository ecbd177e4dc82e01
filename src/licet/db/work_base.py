"""The WorkStore protocol: what processes that work on runs share through a database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from licet.db.records import RunRecord
from licet.db.work_records import (
    ClaimedRun,
    ExecutorEnd,
    ExecutorRecord,
    JobRecord,
    QueueLimits,
)


class WorkStore(Protocol):
    """Executors, the queue of durable runs, and who was asked to stop.

    No access is carried: it is the server itself that calls these methods, never on behalf of a
    caller. Every method may raise ``StorageError``. A durable run waits while it is PENDING, and is
    worked on by its ``executor_id`` while it is RUNNING: nothing else says so.
    """

    # --- executors

    async def register_executor(self, executor: ExecutorRecord) -> None:
        """Store a process that begins to work. One that ended may register again: it lives.

        Its beats go on then, by one: whoever has counted them before does not take it for dead.
        """

    async def beat(self, executor_id: str) -> bool:
        """Say that a process lives. False: it is not registered, or another one said that it died.

        Whoever hears False no longer owns any run: another process may be at work on them.
        """

    async def executors(self) -> Sequence[ExecutorRecord]:
        """Those that may live, and those that ended and are not settled."""

    async def end_executor(self, executor_id: str, *, end: ExecutorEnd, beats: int | None) -> bool:
        """Say that a process has ended; raises the number of ``WORK_TOPIC``.

        A call that ends nothing may raise it too. ``beats``: only if that is how many it has made,
        so that one which has come back is not taken for dead; None: whatever it has made. False: it
        has ended, or has made others, or is unknown.
        """

    async def settle_executor(self, executor_id: str) -> None:
        """Say that nothing is left to see to of one that ended. One that lives stays as it is."""

    # --- runs of processes

    async def foreground_runs_of(self, executor_id: str | None) -> Sequence[RunRecord]:
        """The RUNNING runs of a process that are not durable, oldest first, at most 1000.

        None: those that no process has ever worked on.
        """

    async def durable_runs_of(self, executor_id: str) -> Sequence[RunRecord]:
        """The RUNNING durable runs of a process, oldest first, at most 1000."""

    async def cancels_asked(self, executor_id: str) -> Sequence[str]:
        """The ids of the RUNNING runs of a process that were asked to stop, the oldest run's first.

        See ``Store.ask_to_cancel``.
        """

    # --- the queue of durable runs

    async def claim(
        self,
        executor_id: str,
        *,
        agent_ids: Collection[str],
        unserved_before_us: int,
        limits: QueueLimits,
        now_us: int,
    ) -> ClaimedRun | None:
        """Take on the next durable run that may work: it is RUNNING then, of that executor.

        The oldest PENDING one (by ``created_at_us``, then ``run_id``) whose session has neither an
        older PENDING nor a RUNNING durable run, and that breaks no limit; PAUSED runs hold nothing.
        ``agent_ids`` are those that the process serves. A run of another one is passed over, and
        still holds its session, unless it waits since before ``unserved_before_us`` (its
        ``updated_at_us``): nobody serves its agent then. None: there is none, or the next is being
        cancelled at this moment. Of processes that claim at once, no two get one run, and no limit
        is passed.
        """

    async def adopt(self, run_id: str, *, old_executor_id: str | None, executor_id: str) -> bool:
        """Take over a RUNNING durable run from another process, or (None) from whichever has it.

        False: it is not RUNNING, or not that process's, or there is none.
        """

    async def put_back(self, run_id: str, *, executor_id: str) -> bool:
        """Let a RUNNING durable run of a process, of which nothing was done yet, wait again.

        The one move back to PENDING: a claim is undone as if it had not been. False: as ``adopt``,
        or it has no job.
        """

    async def job(self, run_id: str) -> JobRecord | None:
        """What a durable run needs; also when it has ended, for as long as its session exists."""

    async def waiting(self) -> int:
        """How many durable runs are PENDING."""

    async def raise_work(self) -> None:
        """Raise the number of ``WORK_TOPIC``: other processes look what there is to do."""

    # --- housekeeping

    async def forget_before(self, before_us: int) -> int:
        """Delete requests (``Once``) made before, and settled executors started before.

        Answers how many there were.
        """
