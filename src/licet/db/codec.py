"""Records to rows and back. A row stands in the order of ``SESSION_COLUMNS``, ``RUN_COLUMNS``.

What is JSON is stored as JSON text: it escapes NUL, which PostgreSQL's TEXT cannot hold.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from licet.db.records import RunHead, RunRecord, RunStatus, SessionRecord
from licet.errors import StorageError

SESSION_COLUMNS = (
    "owner",
    "session_id",
    "session_type",
    "component_id",
    "user_id",
    "session_name",
    "first_input",
    "session_state",
    "metadata",
    "summary",
    "created_at_us",
    "updated_at_us",
)
RUN_COLUMNS = (
    "run_id",
    "owner",
    "session_id",
    "component_id",
    "user_id",
    "parent_run_id",
    "status",
    "body",
    "total_tokens",
    "created_at_us",
    "updated_at_us",
    "executor_id",
    "durable",
)

HEAD_COLUMNS = (
    "owner",
    "session_id",
    "run_id",
    "component_id",
    "user_id",
    "status",
    "created_at_us",
    "updated_at_us",
    "executor_id",
    "durable",
)

MAX_KEY_BYTES = 800
"""How long a text in an index may be: PostgreSQL indexes 2704 bytes, of three texts at most."""

MAX_INTEGER = 2**63 - 1
"""The largest number that a BIGINT column holds."""

_INDEXED = frozenset({"owner", "session_id", "run_id", "executor_id"})


def storable(*texts: str | None) -> bool:
    """Whether every text can stand in a column: no NUL, no half of a surrogate pair.

    No row has a key that is not storable, so reading by such a key finds nothing.
    """
    for text in texts:
        if text is None or (text.isascii() and "\0" not in text):
            continue
        try:
            if b"\0" in text.encode():
                return False
        except UnicodeEncodeError:
            return False
    return True


def within_columns(number: int) -> int:
    """The nearest number that a BIGINT column holds: enough for a bound of a query."""
    return max(-MAX_INTEGER, min(MAX_INTEGER, number))


def json_text(value: Any, name: str) -> str:
    """A value as JSON text; ``name`` is what the message calls it.

    Raises:
        StorageError: it holds something that JSON cannot.
    """
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StorageError(
            f"{name} holds a value that JSON cannot ({type(error).__name__}); "
            "keep only strings, numbers, booleans, None, lists and dictionaries in it"
        ) from error


def session_row(session: SessionRecord) -> tuple[Any, ...]:
    """A session's values.

    Raises:
        StorageError: a text or a value of it cannot be stored.
    """
    row = (
        session.owner,
        session.session_id,
        session.session_type,
        session.component_id,
        session.user_id,
        session.session_name,
        session.first_input,
        json_text(session.session_state, "session_state"),
        _optional_json(session.metadata, "metadata"),
        _optional_json(session.summary, "summary"),
        session.created_at_us,
        session.updated_at_us,
    )
    return checked(row, SESSION_COLUMNS, indexed=_INDEXED)


def session_record(row: Sequence[Any]) -> SessionRecord:
    """A row of sessions as a record."""
    return SessionRecord(
        owner=row[0],
        session_id=row[1],
        session_type=row[2],
        component_id=row[3],
        user_id=row[4],
        session_name=row[5],
        first_input=row[6],
        session_state=msgspec.json.decode(row[7]),
        metadata=None if row[8] is None else msgspec.json.decode(row[8]),
        summary=None if row[9] is None else msgspec.json.decode(row[9]),
        created_at_us=row[10],
        updated_at_us=row[11],
    )


def run_row(run: RunRecord) -> tuple[Any, ...]:
    """A run's values.

    Raises:
        StorageError: a text or a value of it cannot be stored.
    """
    row = (
        run.run_id,
        run.owner,
        run.session_id,
        run.component_id,
        run.user_id,
        run.parent_run_id,
        run.status.value,
        text_of(run.body, f"run {run.run_id!r}: the body"),
        run.total_tokens,
        run.created_at_us,
        run.updated_at_us,
        run.executor_id,
        int(run.durable),
    )
    return checked(row, RUN_COLUMNS, indexed=_INDEXED)


def text_of(json: bytes, name: str) -> str:
    """JSON that somebody has encoded, as text; ``name`` is what the message calls it.

    Raises:
        StorageError: it is no UTF-8, or holds a raw NUL, which no JSON does.
    """
    try:
        text = json.decode()
    except UnicodeDecodeError as error:
        raise StorageError(f"{name} is not UTF-8") from error
    if "\0" in text:
        raise StorageError(f"{name} holds a raw NUL; JSON escapes it")
    return text


def check_run(run: RunRecord) -> None:
    """Refuse a run that no database could hold.

    Raises:
        StorageError: a text or a value of it cannot be stored.
    """
    run_row(run)


def run_record(row: Sequence[Any]) -> RunRecord:
    """A row of runs as a record."""
    return RunRecord(
        run_id=row[0],
        owner=row[1],
        session_id=row[2],
        component_id=row[3],
        user_id=row[4],
        parent_run_id=row[5],
        status=RunStatus(row[6]),
        body=row[7].encode(),
        total_tokens=row[8],
        created_at_us=row[9],
        updated_at_us=row[10],
        executor_id=row[11],
        durable=bool(row[12]),
    )


def run_head(row: Sequence[Any]) -> RunHead:
    """A row of ``HEAD_COLUMNS`` as a record."""
    values = dict(zip(HEAD_COLUMNS, row, strict=True))
    return RunHead(**{**values, "status": RunStatus(row[5]), "durable": bool(row[9])})


def head_of(run: RunRecord) -> RunHead:
    """A run without its body."""
    return RunHead(**{name: getattr(run, name) for name in HEAD_COLUMNS})


def checked(
    row: tuple[Any, ...], columns: Sequence[str], *, indexed: Collection[str] = ()
) -> tuple[Any, ...]:
    """The row, when every column can hold its value. ``indexed``: columns with bounded texts.

    Raises:
        StorageError: a text or a number of it cannot be stored; the message names the column.
    """
    for name, value in zip(columns, row, strict=True):
        if isinstance(value, str):
            if name != "body" and not storable(value):
                raise StorageError(f"{name} holds NUL or half of a surrogate pair")
            if name in indexed and len(value.encode()) > MAX_KEY_BYTES:
                raise StorageError(f"{name} is longer than {MAX_KEY_BYTES} bytes")
        elif isinstance(value, int) and not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise StorageError(f"{name} is beyond 64 bits")
    return row


def _optional_json(value: Any, name: str) -> str | None:
    return None if value is None else json_text(value, name)
