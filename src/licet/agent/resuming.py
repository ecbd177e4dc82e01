"""Resuming: a paused run as it goes on, from what was stored of it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from licet.agent.output import RunOutput
from licet.db.records import RunStatus
from licet.errors import ConflictError


class NotPausedError(ConflictError):
    """The run does not wait any more: somebody else has gone on with it, or it has ended."""

    code = "not_paused"


class Stored(Protocol):
    """What a stored run says of itself."""

    @property
    def status(self) -> RunStatus:
        """The state in which its body was written."""

    @property
    def leg(self) -> int:
        """The leg in which it was."""


def leg_of(body: Stored, status: RunStatus) -> int:
    """Which leg of a run it is that works, or waits for its turn, or has ended.

    ``status`` is the row's, which is newer than the body's where only that was changed: a run whose
    body says that it paused is in its next leg as soon as its row says something else.
    """
    went_on = body.status is RunStatus.PAUSED and status in {RunStatus.PENDING, RunStatus.RUNNING}
    return body.leg + 1 if went_on else body.leg


def going_on(paused: RunOutput) -> RunOutput:
    """A run in its next leg, or (RUNNING) in the one in which it was interrupted."""
    return msgspec.structs.replace(
        paused, status=RunStatus.RUNNING, leg=leg_of(paused, RunStatus.RUNNING), content=None
    )
