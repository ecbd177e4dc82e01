"""The writes of the run engine, as fixed lists of statements; ``claim_write`` has one of its own.

They come last in each transaction: first those that take the row of the topic in ``licet_changes``,
then those of single executors. Taking over and putting back lock a run without its session: where
that meets a process that was given up too early, one of the two is tried again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from licet.db.codec import within_columns
from licet.db.work_codec import (
    EXECUTOR_COLUMNS,
    HAS_JOB_SQL,
    UNENDED_SQL,
    check_executor_id,
    executor_row,
)
from licet.db.work_records import (
    WORK_TOPIC,
    ExecutorEnd,
    ExecutorRecord,
    QueueFullError,
)
from licet.db.writes import (
    AFTER_ALL_OWNERS,
    Answer,
    Statement,
    Write,
    lock_topic,
    raise_topic,
)

WORK_KEY: Final = (AFTER_ALL_OWNERS, WORK_TOPIC)
"""The key of writes that take the row of the topic: after trust, for which people wait."""

_RAISE = raise_topic(WORK_TOPIC)
_LOCK = lock_topic(WORK_TOPIC)

# A number of beats never comes again: whoever counted them in an earlier life is not mistaken.
_REGISTER = (
    f"INSERT INTO licet_executors ({', '.join(EXECUTOR_COLUMNS)}) "  # noqa: S608 - constants
    "VALUES (?, ?, ?, NULL, 0) "
    "ON CONFLICT (id) DO UPDATE SET started_at_us = excluded.started_at_us, "
    "beats = licet_executors.beats + 1, ended = NULL, settled = 0"
)
_BEAT = "UPDATE licet_executors SET beats = beats + 1 WHERE id = ? AND ended IS NULL"
_END = "UPDATE licet_executors SET ended = ? WHERE id = ? AND ended IS NULL"
_END_IF_SILENT = f"{_END} AND beats = ?"
_SETTLE = "UPDATE licet_executors SET settled = 1 WHERE id = ? AND ended IS NOT NULL"
_FORGET_EXECUTORS = (
    "DELETE FROM licet_executors WHERE ended IS NOT NULL AND settled = 1 AND started_at_us < ?"
)
_FORGET_REQUESTS = "DELETE FROM licet_once WHERE created_at_us < ?"

_AT_WORK = "run_id = ? AND durable = 1 AND status = 'RUNNING'"
_ADOPT = f"UPDATE licet_runs SET executor_id = ? WHERE {_AT_WORK}"  # noqa: S608 - constants
_ADOPT_FROM = f"{_ADOPT} AND executor_id = ?"
_PUT_BACK = (
    "UPDATE licet_runs SET status = 'PENDING', executor_id = NULL "  # noqa: S608 - constants
    f"WHERE {_AT_WORK} AND executor_id = ? AND {HAS_JOB_SQL}"
)
_COUNT_WAITING = (
    f"SELECT COUNT(*) FROM licet_runs WHERE {UNENDED_SQL} "  # noqa: S608 - constants
    "AND status = 'PENDING' AND durable = 1"
)


def register_executor(executor: ExecutorRecord) -> Write[None]:
    """Insert an executor, or let one of that id live again."""
    row = executor_row(executor)
    return Write(_key_of(executor.id), (Statement(_REGISTER, row[:3]),), lambda _: None)


def beat(executor_id: str) -> Write[bool]:
    """Count one more beat of an executor that may live."""
    return _one(_key_of(executor_id), Statement(_BEAT, (executor_id,)))


def end_executor(executor_id: str, *, end: ExecutorEnd, beats: int | None) -> Write[bool]:
    """Note how an executor ended."""
    which = (end.value, executor_id)
    silent = Statement(_END_IF_SILENT, (*which, 0 if beats is None else within_columns(beats)))
    ending = Statement(_END, which) if beats is None else silent
    return Write(WORK_KEY, (_RAISE, ending), lambda answers: answers[1].touched > 0)


def settle_executor(executor_id: str) -> Write[bool]:
    """Note that nothing is left of an executor that ended."""
    return _one(_key_of(executor_id), Statement(_SETTLE, (executor_id,)))


def adopt(run_id: str, *, old_executor_id: str | None, executor_id: str) -> Write[bool]:
    """Give a durable run at work to another executor."""
    check_executor_id(executor_id)
    which = (executor_id, run_id)
    if old_executor_id is None:
        return _one(WORK_KEY, Statement(_ADOPT, which))
    return _one(WORK_KEY, Statement(_ADOPT_FROM, (*which, old_executor_id)))


def put_back(run_id: str, *, executor_id: str) -> Write[bool]:
    """Let a durable run wait again."""
    return _one(WORK_KEY, Statement(_PUT_BACK, (run_id, executor_id)))


def raise_work() -> Write[None]:
    """Give the topic its next number."""
    return Write(WORK_KEY, (_RAISE,), lambda _: None)


def check_room(waiting: int) -> Write[None]:
    """Undo what it is written together with, where more than ``waiting`` durable runs wait then."""

    def conclude(answers: Sequence[Answer]) -> None:
        if answers[0].rows[0][0] > waiting:
            raise QueueFullError(f"{waiting} runs wait already, which is as many as may")

    return Write(WORK_KEY, (Statement(_COUNT_WAITING, ()),), conclude)


def forget_before(before_us: int) -> Write[int]:
    """Delete what nobody will ask for any more."""
    before = (within_columns(before_us),)
    forgetting = (Statement(_FORGET_REQUESTS, before), Statement(_FORGET_EXECUTORS, before))
    # The row of the topic, so that nobody ends the same executors in another order meanwhile.
    return Write(
        WORK_KEY, (_LOCK, *forgetting), lambda answers: sum(a.touched for a in answers[1:])
    )


def _key_of(executor_id: str) -> tuple[str, str]:
    return (AFTER_ALL_OWNERS, f"{WORK_TOPIC}:{executor_id}")


def _one(key: tuple[str, str], statement: Statement) -> Write[bool]:
    return Write(key, (statement,), lambda answers: answers[0].touched > 0)
