"""DurableEngine: what Licet asks of the engine of durable runs.

A piece of work is one leg of a run (``legs``), and a workflow of the engine with the same id. What
each of its steps came to is stored; so are its events.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Sequence
from enum import Enum
from typing import Any, Protocol

import msgspec

from licet.runs.cron import Cron


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Events that were stored together: the index of the first, and their frames."""

    first_index: int
    frames: tuple[str, ...]


def unread(batch: Batch, next_index: int) -> Batch:
    """What is left of a batch for whoever has read up to an index.

    A batch whose writer did not hear that it was stored is stored once more.
    """
    read = max(0, next_index - batch.first_index)
    return batch if not read else Batch(batch.first_index + read, batch.frames[read:])


class WorkflowState(Enum):
    """What the engine knows of a piece of work."""

    UNKNOWN = "unknown"
    ACTIVE = "active"
    """It is at work, or will be: the engine has it started again if its process dies."""
    ENDED = "ended"


class Work(Protocol):
    """What the engine has done for it: a piece of work, begun or gone on with."""

    async def __call__(self, work_id: str, db_id: str, /) -> None:
        """Work until it has ended. What it raises ends the workflow.

        Raises:
            asyncio.CancelledError: the run is left to whoever goes on with it.
        """


class Step(Protocol):
    """A step that has its place among those of its run."""

    async def __call__(self, do: Callable[[], Coroutine[Any, Any, str]]) -> str:
        """Do it, and store what it comes to; or answer what is stored."""


class DurableEngine(Protocol):
    """What Licet asks of an engine. Steps and events: inside of the work of a run only."""

    @property
    def db_id(self) -> str:
        """The database beside which it keeps all: each process that uses it is registered there."""

    @property
    def cron(self) -> Cron:
        """Its clock."""

    async def launch(self, work: Work) -> None:
        """Begin. Runs on the loop of the caller.

        Raises:
            ConfigurationError: this process serves another configuration already.
            StorageError: the database cannot be reached; it can be tried again.
        """

    async def close(self) -> None:
        """End. What works is cancelled, and is gone on with by whoever recovers it."""

    async def start(self, work_id: str, db_id: str) -> bool:
        """Let the work of a run that this process has claimed begin in it.

        False: it had begun in a process that was given up; whichever process goes on with that.
        """

    def step(self) -> Step:
        """The next step of the run. Takes its place now."""

    async def store_events(self, batch: Batch) -> None:
        """Store events, and wake who reads them. In a step."""

    async def close_events(self) -> None:
        """No event follows. In a step."""

    def events(
        self, work_id: str, *, idle_seconds: float | None
    ) -> AsyncGenerator[Batch | None, None]:
        """All events of a piece of work in order, up to the end; None where none came for so long.

        ``idle_seconds`` None: those that are stored now.
        """

    async def state(self, work_id: str) -> WorkflowState:
        """What is known of a piece of work."""

    async def recover(self, work_id: str, *, living: Collection[str]) -> WorkflowState:
        """Have work started again, by whichever process, unless one of the living has it.

        Answers what is known of it.
        """

    async def abandoned(self, *, living: Collection[str]) -> Sequence[str]:
        """Work that is done in none of the living processes, and waits for none to begin.

        So are firings: to have either started again is one and the same.
        """

    async def forget(self, work_ids: Sequence[str]) -> None:
        """Delete what is stored of work that has ended."""

    async def ended_before(self, epoch_seconds: float) -> Sequence[str]:
        """Work and firings that ended before, some of them, for as long as there are any."""
