"""The rows: sessions and runs, and the key that a session is known by.

Times are epoch microseconds. A run's ``body`` is its whole output as JSON (UTF-8), encoded once by
whoever wrote the run: the same bytes go to the client, to the database and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple


class RunStatus(StrEnum):
    """Where a run stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    ERROR = "ERROR"


class SessionKey(NamedTuple):
    """A session is known by whose it is and what they call it: two owners may use one id."""

    owner: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """A conversation of one owner with one component; ``owner`` "" means nobody."""

    owner: str
    session_id: str
    session_type: str = "agent"
    component_id: str | None = None
    user_id: str | None = None
    session_name: str | None = None
    first_input: str | None = None
    session_state: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None
    created_at_us: int
    updated_at_us: int

    @property
    def key(self) -> SessionKey:
        """What the session is known by."""
        return SessionKey(self.owner, self.session_id)


class Saving(StrEnum):
    """What came of storing what a run has reached."""

    SAVED = "saved"
    ABSENT = "absent"
    """The run, or its session, was deleted meanwhile."""
    REFUSED = "refused"
    """It has ended already, or somebody else works on it; ``run_states`` says what may follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run of one session.

    ``executor_id`` names the process that works on it, or did last; None: none has yet, or it was
    put back. ``durable``: when that process dies, another one goes on with it.
    """

    owner: str
    session_id: str
    run_id: str
    component_id: str
    user_id: str | None = None
    parent_run_id: str | None = None
    status: RunStatus
    body: bytes
    total_tokens: int = 0
    created_at_us: int
    updated_at_us: int
    executor_id: str | None = None
    durable: bool = False

    @property
    def session_key(self) -> SessionKey:
        """The session that the run belongs to."""
        return SessionKey(self.owner, self.session_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHead:
    """What a list of many runs knows of each: all but what was said in it. See ``RunRecord``."""

    owner: str
    session_id: str
    run_id: str
    component_id: str
    user_id: str | None
    status: RunStatus
    created_at_us: int
    updated_at_us: int
    executor_id: str | None
    durable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunRun:
    """What the start of a run found: its session, and the runs before it, oldest first."""

    session: SessionRecord
    history: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionQuery:
    """Which sessions to list. None: no filter. ``page`` counts from 1.

    ``session_name`` is a part of the name, in any case. No ``session_ids`` match no session.
    """

    session_type: str | None = None
    component_id: str | None = None
    user_id: str | None = None
    session_name: str | None = None
    session_ids: frozenset[str] | None = None
    sort_by: Literal["created_at", "updated_at", "session_name"] = "created_at"
    descending: bool = True
    page: int = 1
    limit: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs of a session to list. Bounds are epoch microseconds, both inclusive."""

    component_id: str | None = None
    statuses: tuple[RunStatus, ...] = ()
    created_from_us: int | None = None
    created_to_us: int | None = None


MAX_RECENT_RUNS = 1000
"""How many runs of all sessions are listed at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentRuns:
    """Which runs of all sessions to list. None, and no ``statuses``: no filter.

    ``limit`` is at most ``MAX_RECENT_RUNS``, whatever it says.
    """

    statuses: tuple[RunStatus, ...] = ()
    component_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPage:
    """One page of sessions, and how many there are in all."""

    sessions: tuple[SessionRecord, ...]
    total_count: int
