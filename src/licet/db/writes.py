"""The writes: each is a fixed list of statements, and what their answers mean.

No statement of a write depends on the answer of another, so that a database can be sent many writes
at once. Two processes that lock in one order do not wait for each other in a circle: the writes of
one transaction go by their keys, and each of them locks the session's row before its runs' rows.
Here are the writes of sessions, those of runs are in ``run_writes``: every statement carries the
owner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from licet.db.base import SessionChanges
from licet.db.codec import (
    SESSION_COLUMNS,
    json_text,
    session_record,
    session_row,
    storable,
)
from licet.db.records import SessionKey, SessionRecord
from licet.errors import StorageError, StorageUnavailableError

T = TypeVar("T")

AFTER_ALL_OWNERS: Final = chr(0x10FFFF)
"""The first part of the keys of writes that lock what all processes share: last in each group."""


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


def together(first: Write[T], second: Write[None]) -> Write[T]:
    """Two writes as one, which answers what the first does. An error of either undoes both."""
    count = len(first.statements)

    def conclude(answers: Sequence[Answer]) -> T:
        result = first.conclude(answers[:count])
        second.conclude(answers[count:])
        return result

    return Write(first.key, (*first.statements, *second.statements), conclude)


def insert_unless_known(table: str, columns: Sequence[str], conflict: str) -> str:
    """SQL that inserts a row unless there is one of its key; ``conflict`` names its columns."""
    marks = ", ".join("?" * len(columns))
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) "  # noqa: S608 - constants
        f"ON CONFLICT ({conflict}) DO NOTHING"
    )


def insert_beside_run(table: str, columns: Sequence[str], conflict: str) -> str:
    """As ``insert_unless_known``; and only where the run is there with which the row goes.

    The last parameters are the ``run_id``, the ``owner`` and the ``session_id`` of that.
    """
    marks = ", ".join("?" * len(columns))
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {marks} WHERE EXISTS "  # noqa: S608 - constants
        "(SELECT 1 FROM licet_runs WHERE run_id = ? AND owner = ? AND session_id = ?) "
        f"ON CONFLICT ({conflict}) DO NOTHING"
    )


def raise_topic(topic: str) -> Statement:
    """Give a topic its next number. Its row stays locked up to the commit."""
    return Statement("UPDATE licet_changes SET number = number + 1 WHERE topic = ?", (topic,))


def lock_topic(topic: str) -> Statement:
    """Lock a topic's row up to the commit, and tell nobody."""
    return Statement("UPDATE licet_changes SET number = number WHERE topic = ?", (topic,))


INSERT_SESSION: Final = insert_unless_known("licet_sessions", SESSION_COLUMNS, "owner, session_id")
SELECT_SESSION: Final = (
    f"SELECT {', '.join(SESSION_COLUMNS)} FROM licet_sessions "  # noqa: S608 - constants
    "WHERE owner = ? AND session_id = ?"
)
_UPDATE_SESSION = (
    "UPDATE licet_sessions SET session_name = COALESCE(?, session_name), "
    "session_state = COALESCE(?, session_state), metadata = COALESCE(?, metadata), "
    "summary = COALESCE(?, summary), updated_at_us = ? WHERE owner = ? AND session_id = ?"
)
_LOCK_SESSION = (
    "UPDATE licet_sessions SET updated_at_us = updated_at_us WHERE owner = ? AND session_id = ?"
)
_DELETE_SESSION = "DELETE FROM licet_sessions WHERE owner = ? AND session_id = ?"


def lock_session(key: SessionKey) -> Statement:
    """Lock a session's row up to the commit: the first of a write that changes a run without it."""
    return Statement(_LOCK_SESSION, key)


def create_session(session: SessionRecord) -> Write[bool]:
    """Insert a session unless its owner has one of that id."""
    statement = Statement(INSERT_SESSION, session_row(session))
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

    statements = (Statement(_UPDATE_SESSION, (*values, *key)), Statement(SELECT_SESSION, key))
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
