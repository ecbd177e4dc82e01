"""The reads, in SQLAlchemy Core. Every one carries the owner, or the right to see all of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, TextClause, case, func, select, text

from licet.db.base import Access
from licet.db.codec import (
    HEAD_COLUMNS,
    MAX_INTEGER,
    RUN_COLUMNS,
    SESSION_COLUMNS,
    storable,
    within_columns,
)
from licet.db.records import MAX_RECENT_RUNS, RecentRuns, RunQuery, SessionKey, SessionQuery
from licet.db.tables import runs, sessions
from licet.db.work_codec import EVER_SQL

_session_values = [sessions.c[name] for name in SESSION_COLUMNS]
_run_values = [runs.c[name] for name in RUN_COLUMNS]


def one_run(key: SessionKey, run_id: str) -> Select[Any]:
    """The run of a session with that id."""
    return select(*_run_values).where(*_of_session(key), runs.c.run_id == run_id)


def run_called(run_id: str, access: Access) -> Select[Any]:
    """The run with that id, whichever session it is in."""
    reached = [] if access.sees_all else [runs.c.owner == access.owner]
    return select(*_run_values).where(runs.c.run_id == run_id, *reached)


def runs_of(key: SessionKey, query: RunQuery) -> Select[Any]:
    """The runs of a session, oldest first."""
    wanted = _of_session(key)
    if query.component_id is not None:
        wanted.append(runs.c.component_id == query.component_id)
    if query.statuses:
        wanted.append(runs.c.status.in_([status.value for status in query.statuses]))
    if query.created_from_us is not None:
        wanted.append(runs.c.created_at_us >= within_columns(query.created_from_us))
    if query.created_to_us is not None:
        wanted.append(runs.c.created_at_us <= within_columns(query.created_to_us))
    return select(*_run_values).where(*wanted).order_by(runs.c.created_at_us, runs.c.run_id)


def recent_runs(query: RecentRuns, access: Access) -> Select[Any]:
    """The newest runs of all sessions that are reached, without their bodies."""
    wanted: list[ColumnElement[bool] | TextClause] = [text(EVER_SQL)]
    if not access.sees_all:
        wanted.append(runs.c.owner == access.owner)
    if query.statuses:
        wanted.append(runs.c.status.in_([status.value for status in query.statuses]))
    for column, value in (
        (runs.c.component_id, query.component_id),
        (runs.c.session_id, query.session_id),
        (runs.c.user_id, query.user_id),
    ):
        if value is not None:
            wanted.append(column == value)
    return (
        select(*[runs.c[name] for name in HEAD_COLUMNS])
        .where(*wanted)
        .order_by(runs.c.created_at_us.desc(), runs.c.run_id.desc())
        .limit(min(MAX_RECENT_RUNS, max(0, query.limit)))
    )


def tokens_of(key: SessionKey) -> Select[Any]:
    """The tokens of all runs of a session."""
    return select(func.coalesce(func.sum(runs.c.total_tokens), 0)).where(*_of_session(key))


def sessions_called(session_id: str, access: Access) -> Select[Any]:
    """The sessions of that id that are reached, the caller's own first."""
    others_last = case((sessions.c.owner == access.owner, 0), else_=1)
    return (
        select(*_session_values)
        .where(sessions.c.session_id == session_id, *_reached(access))
        .order_by(others_last, sessions.c.owner)
    )


def session_count(query: SessionQuery, access: Access) -> Select[Any]:
    """How many sessions a list has, over all its pages."""
    return select(func.count()).select_from(sessions).where(*_wanted(query, access))


def session_page(query: SessionQuery, access: Access) -> Select[Any]:
    """One page of a list of sessions."""
    if query.sort_by == "session_name":
        first: ColumnElement[Any] = func.lower(func.coalesce(sessions.c.session_name, ""))
    elif query.sort_by == "updated_at":
        first = sessions.c.updated_at_us
    else:
        first = sessions.c.created_at_us
    # The key makes the order total: no row is on two pages.
    order = (first, sessions.c.session_id, sessions.c.owner)
    limit = within_columns(max(0, query.limit))
    return (
        select(*_session_values)
        .where(*_wanted(query, access))
        .order_by(*(column.desc() if query.descending else column.asc() for column in order))
        .limit(limit)
        .offset(min(MAX_INTEGER, max(0, query.page - 1) * limit))
    )


def _of_session(key: SessionKey) -> list[ColumnElement[bool]]:
    return [runs.c.owner == key.owner, runs.c.session_id == key.session_id]


def _reached(access: Access) -> list[ColumnElement[bool]]:
    return [] if access.sees_all else [sessions.c.owner == access.owner]


def _wanted(query: SessionQuery, access: Access) -> list[ColumnElement[bool]]:
    wanted = _reached(access)
    if query.session_type is not None:
        wanted.append(sessions.c.session_type == query.session_type)
    if query.component_id is not None:
        wanted.append(sessions.c.component_id == query.component_id)
    if query.user_id is not None:
        wanted.append(sessions.c.user_id == query.user_id)
    if query.session_ids is not None:
        ids = [session_id for session_id in query.session_ids if storable(session_id)]
        wanted.append(sessions.c.session_id.in_(ids))
    if query.session_name is not None:
        literal = query.session_name.replace("/", "//").replace("%", "/%").replace("_", "/_")
        pattern = func.lower(f"%{literal}%")
        wanted.append(func.lower(sessions.c.session_name).like(pattern, escape="/"))
    return wanted
