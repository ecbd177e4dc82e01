"""The rows of the run engine: who works, what waits to be worked on, and what was asked once.

Times are epoch microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from licet.db.records import RunRecord, SessionKey
from licet.errors import ConflictError, LicetError

WORK_TOPIC: Final = "work"
"""Its number is raised when there is something to do for processes that work on runs."""


class ExecutorEnd(StrEnum):
    """How a process stopped working."""

    LEFT = "left"
    """It said so itself: it was shut down."""
    DIED = "died"
    """It was not heard of for too long; another one said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorRecord:
    """A process that works on runs. ``beats`` grows while it lives; ``ended`` None: it may live.

    ``settled``: nothing of what it worked on is left to see to.
    """

    id: str
    started_at_us: int
    beats: int = 0
    ended: ExecutorEnd | None = None
    settled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """What a durable run needs to be worked on by any process.

    ``principal_key`` is whose limit it counts for. ``request`` and ``snapshot`` are JSON, UTF-8:
    what was asked, and the authority under which (None: authorization was off). Never a token.
    """

    run_id: str
    principal_key: str
    request: bytes
    snapshot: bytes | None
    created_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A request that is to be done once: its key, within one owner and one route.

    ``digest`` is that of what was asked: the same key with another one is refused.
    """

    owner: str
    route: str
    key: str
    digest: str
    created_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How many durable runs may work at once, and how many may wait. None: no limit.

    Args:
        per_principal: working, of one principal, in all processes.
        overall: working, in all processes.
        waiting: that wait; one more is refused.
    """

    per_principal: int | None = None
    overall: int | None = None
    waiting: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedRun:
    """A durable run that a process has taken on, and what it needs for it."""

    run: RunRecord
    job: JobRecord


class QueueFullError(LicetError):
    """As many durable runs wait as may; nothing was stored."""

    code = "queue_full"


class RepeatedRequestError(ConflictError):
    """A request of that key was made before; nothing was stored.

    Attributes:
        first_key: the session of the run that it began.
        first_run_id: that run.
        same: whether the same was asked.
    """

    code = "repeated_request"

    def __init__(self, first_key: SessionKey, first_run_id: str, *, same: bool) -> None:
        super().__init__(f"a request of that key began the run {first_run_id!r}")
        self.first_key = first_key
        self.first_run_id = first_run_id
        self.same = same
