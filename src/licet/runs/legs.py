"""Legs: the stretches of a run between its pauses. Each of a durable run is a piece of work.

The engine keeps the steps of a piece of work until it has ended. A pause ends it: a run may wait
for days, and goes on from what its row says.
"""

from __future__ import annotations

import msgspec

from licet.agent.resuming import leg_of
from licet.db.records import RunRecord, RunStatus

_BETWEEN = ":"


class _Stored(msgspec.Struct, frozen=True):
    """What a stored run says of its legs."""

    status: RunStatus
    leg: int = 0
    next_event_index: int = 0


def work_id(run_id: str, leg: int) -> str:
    """What the engine calls the work of a leg."""
    return f"{run_id}{_BETWEEN}{leg}" if leg else run_id


def run_and_leg(work: str) -> tuple[str, int]:
    """Of which run a piece of work is, and which leg of it."""
    run_id, _, leg = work.partition(_BETWEEN)
    return run_id, int(leg or 0)


def current_leg(run: RunRecord) -> int:
    """Which leg of a stored run it is now. What cannot be read has had no pause."""
    stored = _read(run)
    return 0 if stored is None else leg_of(stored, run.status)


def told_before(run: RunRecord) -> int:
    """How many events of a stored run were told up to its last pause."""
    stored = _read(run)
    return 0 if stored is None else stored.next_event_index


def _read(run: RunRecord) -> _Stored | None:
    try:
        return msgspec.json.decode(run.body, type=_Stored)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None


def current_work(run: RunRecord) -> str:
    """What the engine calls the work of a stored run now."""
    return work_id(run.run_id, current_leg(run))
