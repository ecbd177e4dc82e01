"""The life of a run: which state may follow which. The one place where that is written.

PENDING ──► RUNNING ──► COMPLETED | ERROR | CANCELLED
 │  ▲        │   ▲
 │  │        ▼   │
 │  └────── PAUSED ──► ERROR | CANCELLED
 └──► ERROR | CANCELLED

A durable run that has paused waits for its turn again before it goes on; another one goes on where
it was decided.

What has ended stays as it ended. A database asks this of every change, in the statement that makes
it, so two processes cannot both end one run.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from licet.db.records import RunStatus

_FOLLOWS: Mapping[RunStatus, frozenset[RunStatus]] = MappingProxyType(
    {
        RunStatus.PENDING: frozenset((RunStatus.RUNNING, RunStatus.ERROR, RunStatus.CANCELLED)),
        # A run that works may be stored while it works.
        RunStatus.RUNNING: frozenset(
            (
                RunStatus.RUNNING,
                RunStatus.PAUSED,
                RunStatus.COMPLETED,
                RunStatus.ERROR,
                RunStatus.CANCELLED,
            )
        ),
        RunStatus.PAUSED: frozenset(
            (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.ERROR, RunStatus.CANCELLED)
        ),
        RunStatus.COMPLETED: frozenset(),
        RunStatus.ERROR: frozenset(),
        RunStatus.CANCELLED: frozenset(),
    }
)

ENDED = frozenset(status for status, following in _FOLLOWS.items() if not following)
"""The states that nothing follows."""

AT_REST = ENDED | {RunStatus.PAUSED}
"""The states in which nothing happens by itself: they have ended, or wait for people."""

UNENDED = frozenset(_FOLLOWS) - ENDED
"""The states of which something is still to come."""

FIRST = frozenset((RunStatus.PENDING, RunStatus.RUNNING))
"""The states in which a run may be stored first."""


def may_follow(before: RunStatus, after: RunStatus) -> bool:
    """Whether a run that is in one state may be stored in the other."""
    return after in _FOLLOWS[before]


def may_be_saved(before: RunStatus, after: RunStatus) -> bool:
    """Whether a run gets from one state into the other by being saved (``Store.save_run``).

    What has paused does not go on that way: ``Store.continue_run`` and ``ApprovalStore.resolve``
    ask whether anything is undecided.
    """
    goes_on = before is RunStatus.PAUSED and after in FIRST
    return may_follow(before, after) and not goes_on


def saved_from(after: RunStatus) -> tuple[RunStatus, ...]:
    """The states from which a run is saved in this one, in the order of their names."""
    return tuple(sorted(before for before in _FOLLOWS if may_be_saved(before, after)))
