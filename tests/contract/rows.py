"""Sessions and runs with the values that a test does not care about."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import replace
from typing import Any

from licet.db.base import Access, Db, Store
from licet.db.records import RunRecord, RunStatus, Saving, SessionKey, SessionRecord
from licet.db.run_states import FIRST

ALICE = Access("alice")
BOB = Access("bob")
ADMIN = Access("root", sees_all=True)

_clock = itertools.count(1_700_000_000_000_000)


def tick() -> int:
    """Microseconds that only grow."""
    return next(_clock)


def session(session_id: str = "s", *, owner: str = "alice", **values: Any) -> SessionRecord:
    """A session. ``at`` is both of its times."""
    at = values.pop("at", None) or tick()
    return SessionRecord(
        **{
            "owner": owner,
            "session_id": session_id,
            "created_at_us": at,
            "updated_at_us": at,
            **values,
        }
    )


def run(session_id: str = "s", *, owner: str = "alice", **values: Any) -> RunRecord:
    """A run of a session. ``at`` is both of its times."""
    at = values.pop("at", None) or tick()
    return RunRecord(
        **{
            "owner": owner,
            "session_id": session_id,
            "run_id": uuid.uuid4().hex,
            "component_id": "agent",
            "status": RunStatus.RUNNING,
            "body": b'{"content": "hello"}',
            "created_at_us": at,
            "updated_at_us": at,
            **values,
        }
    )


async def stored(store: Store, record: RunRecord, **values: Any) -> RunRecord:
    """Begin a run, in its session, let it get into its state, and answer it."""
    is_first = record.status in FIRST
    first = record if is_first else replace(record, status=RunStatus.RUNNING)
    of = session(record.session_id, owner=record.owner, **values)
    await store.begin_run(of, first, history_runs=0)
    if not is_first:
        assert await store.save_run(record, session_state=None) is Saving.SAVED
    return record


async def everything(db: Db) -> list[Any]:
    """All rows of a database, in one order."""
    from licet.db.records import RunQuery, SessionQuery

    store = db.store(ADMIN)
    page = await store.list_sessions(SessionQuery(limit=1000))
    found: list[Any] = []
    for kept in sorted(page.sessions, key=lambda s: s.key):
        found += [kept, *await store.list_runs(SessionKey(*kept.key), RunQuery())]
    return found
