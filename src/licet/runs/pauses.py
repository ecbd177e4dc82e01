"""Pauses: what a run leaves that waits for people, so that any process can go on with it."""

from __future__ import annotations

import time

from licet.agent.execution import Leave, Left
from licet.db.work_records import JobRecord
from licet.runs.run_authority import RunAuthority
from licet.runs.snapshot import Snapshot, job_of


def leaving(authority: RunAuthority) -> Leave:
    """How a run that began in the foreground leaves what it needs, should it pause."""
    return lambda request: _left(job_of(request, now=time.time()), authority, taken_at=time.time())


def left_by(job: JobRecord, snapshot: Snapshot | None, authority: RunAuthority) -> Left:
    """What a run leaves whose job is stored already."""
    if snapshot is None:
        return Left(job=job)
    return _left(job, authority, taken_at=snapshot.taken_at)


def _left(job: JobRecord, authority: RunAuthority, *, taken_at: float) -> Left:
    expires_at_us = int(authority.expires_at(taken_at) * 1_000_000)
    return Left(job=job, expires_at_us=None if job.snapshot is None else expires_at_us)
