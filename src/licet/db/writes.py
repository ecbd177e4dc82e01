"""The writes: each is a fixed list of statements, and what their answers mean.

No statement of a write depends on the answer of another, so that a database can be sent many writes
at once. Two processes that lock in one order do not wait for each other in a circle: the writes of
one transaction go by their keys, and each of them locks the session's row before its runs' rows.
Here are the writes of sessions and runs: every statement carries the owner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from licet.db.base import SessionChanges
from licet.db.codec import (
    RUN_COLUMNS,
    SESSION_COLUMNS,
    json_text,
    run_row,
    session_record,
    session_row,
    storable,
)
from licet.db.records import BegunRun, RunRecord, RunStatus, SessionKey, SessionRecord
from licet.errors import ConflictError, StorageError, StorageUnavailableError

T = TypeVar("T")


class Statement(NamedTuple):
    """SQL that both databases understand; ``?`` stands for a parameter and for nothing else."""

    sql: str
    parameters: tuple[Any, ...]


class Answer(NamedTuple):
    """What a statement gave: rows that it returned, and how many rows it touched."""

    rows: Sequence[Sequence[Any]]
    touched: int


@dataclass(frozen=True, slots=True)
class Write(Generic[T]):
    """One unit that is written wholly or not at all.

    ``key`` orders the writes of one transaction: what is locked first, of what every process locks
    in one order. ``conclude`` turns the answers into the result; an error that it raises undoes
    this write and no other.
    """

    key: tuple[str, str]
    statements: tuple[Statement, ...]
    conclude: Callable[[Sequence[Answer]], T]


class ContentionError(StorageUnavailableError):
    """Another process changed the same rows meanwhile: nothing was written, try again."""


def _insert(table: str, columns: Sequence[str], conflict: str) -> str:
    marks = ", ".join("?" * len(columns))
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) "  # noqa: S608 - constants
        f"ON CONFLICT ({conflict}) DO NOTHING"
    )


_INSERT_SESSION = _insert("licet_sessions", SESSION_COLUMNS, "owner, session_id")
_INSERT_RUN = _insert("licet_runs", RUN_COLUMNS, "run_id")
_SELECT_SESSION = (
    f"SELECT {', '.join(SESSION_COLUMNS)} FROM licet_sessions "  # noqa: S608 - constants
    "WHERE owner = ? AND session_id = ?"
)
_SELECT_HISTORY = (
    "SELECT body FROM licet_runs "
    "WHERE owner = ? AND session_id = ? AND component_id = ? AND status = ? AND run_id <> ? "
    "ORDER BY created_at_us DESC, run_id DESC LIMIT ?"
)
_TOUCH_SESSION = (
    "UPDATE licet_sessions SET session_state = COALESCE(?, session_state), "
    "updated_at_us = CASE WHEN updated_at_us < ? THEN ? ELSE updated_at_us END "
    "WHERE owner = ? AND session_id = ? AND EXISTS (SELECT 1 FROM licet_runs "
    "WHERE run_id = ? AND owner = ? AND session_id = ?)"
)
_UPDATE_RUN = (
    "UPDATE licet_runs SET status = ?, body = ?, total_tokens = ?, updated_at_us = ? "
    "WHERE run_id = ? AND owner = ? AND session_id = ?"
)
_UPDATE_SESSION = (
    "UPDATE licet_sessions SET session_name = COALESCE(?, session_name), "
    "session_state = COALESCE(?, session_state), metadata = COALESCE(?, metadata), "
    "summary = COALESCE(?, summary), updated_at_us = ? WHERE owner = ? AND session_id = ?"
)
_DELETE_SESSION = "DELETE FROM licet_sessions WHERE owner = ? AND session_id = ?"


def begin_run(session: SessionRecord, run: RunRecord, *, history_runs: int) -> Write[BegunRun]:
    """Insert a run, and its session where there is none; read the session and its history."""
    statements = [
        Statement(_INSERT_SESSION, session_row(session)),
        Statement(_SELECT_SESSION, session.key),
        Statement(_INSERT_RUN, run_row(run)),
    ]
    if history_runs > 0:
        completed = RunStatus.COMPLETED.value
        which = (*session.key, run.component_id, completed, run.run_id, history_runs)
        statements.append(Statement(_SELECT_HISTORY, which))

    def conclude(answers: Sequence[Answer]) -> BegunRun:
        if not answers[1].rows:
            raise ContentionError(f"session {session.session_id!r} was deleted meanwhile")
        if answers[2].touched == 0:
            raise ConflictError(f"a run {run.run_id!r} exists already")
        found = answers[3].rows if history_runs > 0 else ()
        return BegunRun(
            session=session_record(answers[1].rows[0]),
            history=tuple(row[0].encode() for row in reversed(found)),
        )

    return Write(session.key, tuple(statements), conclude)


def save_run(run: RunRecord, *, session_state: dict[str, Any] | None) -> Write[bool]:
    """Update a run that exists, and its session."""
    key = run.session_key
    state = None if session_state is None else json_text(session_state, "session_state")
    row = dict(zip(RUN_COLUMNS, run_row(run), strict=True))
    now = row["updated_at_us"]
    reached = (row["status"], row["body"], row["total_tokens"], now)
    return Write(
        key,
        (
            Statement(_TOUCH_SESSION, (state, now, now, *key, run.run_id, *key)),
            Statement(_UPDATE_RUN, (*reached, run.run_id, *key)),
        ),
        lambda answers: answers[1].touched > 0,
    )


def create_session(session: SessionRecord) -> Write[bool]:
    """Insert a session unless its owner has one of that id."""
    statement = Statement(_INSERT_SESSION, session_row(session))
    return Write(session.key, (statement,), lambda answers: answers[0].touched > 0)


def update_session(
    key: SessionKey, changes: SessionChanges, *, updated_at_us: int
) -> Write[SessionRecord | None]:
    """Change what is given of a session, and read it."""
    if not storable(changes.session_name):
        raise StorageError("session_name holds NUL or half of a surrogate pair")
    values = (
        changes.session_name,
        *(
            None if value is None else json_text(value, name)
            for name, value in (
                ("session_state", changes.session_state),
                ("metadata", changes.metadata),
                ("summary", changes.summary),
            )
        ),
        updated_at_us,
    )

    def conclude(answers: Sequence[Answer]) -> SessionRecord | None:
        rows = answers[1].rows
        return session_record(rows[0]) if rows else None

    statements = (Statement(_UPDATE_SESSION, (*values, *key)), Statement(_SELECT_SESSION, key))
    return Write(key, statements, conclude)


def delete_sessions(keys: Sequence[SessionKey], *, session_type: str | None) -> Write[int]:
    """Delete sessions; their runs go with them, by the foreign key. ``keys`` is not empty."""
    ordered = sorted(set(keys))
    if session_type is None:
        statements = tuple(Statement(_DELETE_SESSION, key) for key in ordered)
    else:
        sql = f"{_DELETE_SESSION} AND session_type = ?"
        statements = tuple(Statement(sql, (*key, session_type)) for key in ordered)
    return Write(ordered[0], statements, lambda answers: sum(a.touched for a in answers))
