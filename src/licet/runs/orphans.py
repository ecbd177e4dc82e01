"""Orphans: runs that nobody works on any more. They end, and say why."""

from __future__ import annotations

import time
from dataclasses import replace

import msgspec

from licet.agent.output import RunInput, RunOutput
from licet.db.base import NOBODY, Access, Db
from licet.db.records import RunRecord, RunStatus, Saving

EVERYTHING = Access(NOBODY, sees_all=True)
"""The server's own access: to its runs, whoever's they are. Never that of a caller."""

DIED = "The process that worked on this run ended before the run did"


async def end_orphan(db: Db, run: RunRecord, *, why: str, error_type: str) -> bool:
    """End a run as ERROR. False: somebody else has ended it, or taken it over.

    Raises:
        StorageError: it could not be stored.
    """
    output = msgspec.structs.replace(
        _as_far_as_it_can_be_read(run),
        status=RunStatus.ERROR,
        content=why,
        content_type="str",
        error_type=error_type,
    )
    ended = replace(
        run,
        status=RunStatus.ERROR,
        body=output.to_json(),
        updated_at_us=max(run.updated_at_us, time.time_ns() // 1000),
    )
    saving = await db.store(EVERYTHING).save_run(ended, session_state=None)
    return saving is Saving.SAVED


def _as_far_as_it_can_be_read(run: RunRecord) -> RunOutput:
    """What is stored; of a body that this version cannot read, what its row says."""
    try:
        return RunOutput.from_json(run.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return RunOutput(
            run_id=run.run_id,
            session_id=run.session_id,
            agent_id=run.component_id,
            agent_name=run.component_id,
            status=run.status,
            created_at=run.created_at_us // 1_000_000,
            input=RunInput(""),
            user_id=run.user_id,
        )
