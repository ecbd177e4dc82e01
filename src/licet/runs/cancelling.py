"""Cancelling a run: at once where nobody works on it, or we do; else by asking whoever does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec

from licet.agent.output import RunOutput
from licet.db.base import Store
from licet.db.records import RunRecord, RunStatus, Saving
from licet.db.run_states import ENDED
from licet.errors import ConflictError, NotFoundError

StopHere = Callable[[str, str], bool]
"""Stops the run of that id, for that reason, if this process works on it; whether it does."""


class RunEndedError(ConflictError):
    """The run has ended already: there is nothing to cancel."""

    code = "run_ended"


async def cancel_run(
    run: RunRecord, *, store: Store, stop_here: StopHere, reason: str, now_us: int
) -> None:
    """Cancel a run, or ask whoever works on it to do so. ``reason`` is stored with it.

    A run that another process works on is stopped there a moment later (``cancel_watch.py``).

    Raises:
        NotFoundError: it was deleted meanwhile.
        RunEndedError: it has ended.
        StorageError: it could not be stored.
    """
    while run.status not in ENDED:
        if run.status is RunStatus.RUNNING:
            if stop_here(run.run_id, reason):
                return
            if await store.ask_to_cancel(run.session_key, run.run_id, now_us=now_us):
                return
        else:
            cancelled = _cancelled(run, reason=reason, now_us=now_us)
            if await store.save_run(cancelled, session_state=None) is Saving.SAVED:
                return
        # It has moved on while we looked: it begins, goes on, or ends. It never goes back for ever.
        found = await store.get_run(run.session_key, run.run_id)
        if found is None:
            raise NotFoundError("Run", run.run_id, "Run not found")
        run = found
    raise RunEndedError(f"The run has ended already: {run.status}")


def _cancelled(run: RunRecord, *, reason: str, now_us: int) -> RunRecord:
    output = msgspec.structs.replace(
        RunOutput.from_json(run.body),
        status=RunStatus.CANCELLED,
        error_type="cancelled",
        cancellation_reason=reason,
    )
    return replace(run, status=RunStatus.CANCELLED, body=output.to_json(), updated_at_us=now_us)
