"""Where the events of a run are to be had: the one place that knows."""

from __future__ import annotations

from licet.db.base import Store
from licet.db.records import RunRecord
from licet.runs.event_source import EventSource
from licet.runs.logs import RunLogs
from licet.runs.stored_run import StoredRun


def source_of(run: RunRecord, *, logs: RunLogs, store: Store) -> EventSource:
    """The events of a run that was found: as they are told, where they are kept; else replayed."""
    log = logs.get(run.run_id)
    if log is not None:
        return log
    return StoredRun(run, lambda: store.get_run(run.session_key, run.run_id))
