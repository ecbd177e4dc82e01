"""Execution: how a run is worked on, by whom, and why it may have to stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from licet.agent.observer import UNOBSERVED, RunObserver
from licet.agent.run_request import RunRequest
from licet.db.work_records import JobRecord


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ends before its answer; ``code`` is for programs."""

    reason: str
    code: str = "cancelled"


Lost = Callable[[Sequence[str]], Awaitable[str | None]]
"""Why whoever asked for a run may have it no longer; None: they may.

It is given the tools that are to be called next; none: the run begins, or goes on.
"""


async def nobody_loses(_tools: Sequence[str]) -> None:
    """Nobody loses what nobody was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a run that pauses leaves for whoever goes on with it.

    Attributes:
        job: what was asked, and under whose authority.
        expires_at_us: when that authority ends, in epoch microseconds; None: never.
    """

    job: JobRecord
    expires_at_us: int | None = None


Leave = Callable[[RunRequest], Left]


def _no_index() -> int:
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How a run is worked on.

    Attributes:
        executor_id: by which process; None: by none that anybody watches over.
        durable: another one goes on with it when that one dies.
        began: when it was asked for, in epoch seconds; None: now.
        lost: asked before the run begins and before each call of tools.
        leave: makes what a run leaves that pauses; None: nobody goes on with it but who has it.
        next_event_index: the index that the next event gets.
        observer: looks on.
    """

    executor_id: str | None = None
    durable: bool = False
    began: float | None = None
    lost: Lost = nobody_loses
    leave: Leave | None = None
    next_event_index: Callable[[], int] = _no_index
    observer: RunObserver = UNOBSERVED


BY_ITSELF = Execution()
"""In a script: nobody watches over it, and nobody is asked."""
