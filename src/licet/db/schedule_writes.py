"""The writes of schedules, as fixed lists of statements. Every statement carries the owner.

The first statement of each takes the row of the topic in ``licet_changes``, which stays locked up
to the commit: so all of them, in all processes, go one after the other, and what one of them finds
does not change under it.
"""

from __future__ import annotations

from collections.abc import Sequence

from licet.db.schedule_codec import (
    SCHEDULE_COLUMNS,
    SCHEDULE_RUN_COLUMNS,
    schedule_row,
    schedule_run_record,
    schedule_run_row,
)
from licet.db.schedule_records import (
    SCHEDULE_TOPIC,
    ScheduleRecord,
    ScheduleRunRecord,
    ScheduleSaving,
    TooManySchedulesError,
)
from licet.db.writes import (
    AFTER_ALL_OWNERS,
    Answer,
    Statement,
    Write,
    lock_topic,
    raise_topic,
)

# After sessions and audit, before trust and work, for which more people wait.
_KEY = (AFTER_ALL_OWNERS, SCHEDULE_TOPIC)

_RAISE = raise_topic(SCHEDULE_TOPIC)
_LOCK = lock_topic(SCHEDULE_TOPIC)
_FIXED = frozenset({"id", "owner", "user_id", "created_at_us"})
_CHANGING = tuple(name for name in SCHEDULE_COLUMNS if name not in _FIXED)

_COUNT = "SELECT COUNT(*) FROM licet_schedules WHERE owner = ?"
_INSERT = (
    f"INSERT INTO licet_schedules ({', '.join(SCHEDULE_COLUMNS)}) "  # noqa: S608 - constants
    f"VALUES ({', '.join('?' * len(SCHEDULE_COLUMNS))}) ON CONFLICT DO NOTHING"
)
_SELECT_STATE = "SELECT updated_at_us FROM licet_schedules WHERE id = ? AND owner = ?"
_SELECT_NAMESAKE = "SELECT 1 FROM licet_schedules WHERE owner = ? AND name = ? AND id <> ?"
_UPDATE = (
    f"UPDATE licet_schedules SET {', '.join(f'{name} = ?' for name in _CHANGING)} "  # noqa: S608 - constants
    "WHERE id = ? AND owner = ? AND updated_at_us = ? AND NOT EXISTS "
    "(SELECT 1 FROM licet_schedules AS other "
    "WHERE other.owner = ? AND other.name = ? AND other.id <> ?)"
)
_DELETE = "DELETE FROM licet_schedules WHERE id = ?"
_INSERT_RUN = (
    f"INSERT INTO licet_schedule_runs ({', '.join(SCHEDULE_RUN_COLUMNS)}) "  # noqa: S608 - constants
    f"SELECT {', '.join('?' * len(SCHEDULE_RUN_COLUMNS))} WHERE EXISTS "
    "(SELECT 1 FROM licet_schedules WHERE id = ? AND owner = ?) ON CONFLICT (id) DO NOTHING"
)
_SELECT_RUN = (
    f"SELECT {', '.join(SCHEDULE_RUN_COLUMNS)} FROM licet_schedule_runs "  # noqa: S608 - constants
    "WHERE id = ? AND schedule_id = ? AND owner = ?"
)
_END_RUN = (
    "UPDATE licet_schedule_runs SET run_id = ?, session_id = ?, status = ?, status_code = ?, "
    "error = ?, completed_at_us = ? "
    "WHERE id = ? AND owner = ? AND completed_at_us IS NULL"
)


def create(schedule: ScheduleRecord, *, limit: int) -> Write[bool]:
    """Insert a schedule, unless its owner has as many as they may."""
    statements = (
        _RAISE,
        Statement(_COUNT, (schedule.owner,)),
        Statement(_INSERT, schedule_row(schedule)),
    )

    def conclude(answers: Sequence[Answer]) -> bool:
        if answers[1].rows[0][0] >= limit:
            raise too_many(limit)
        return answers[2].touched > 0

    return Write(_KEY, statements, conclude)


def save(schedule: ScheduleRecord, *, read_at_us: int) -> Write[ScheduleSaving]:
    """Update a schedule that is as it was read."""
    row = dict(zip(SCHEDULE_COLUMNS, schedule_row(schedule), strict=True))
    which, namesake = (schedule.id, schedule.owner), (schedule.owner, schedule.name, schedule.id)
    changes = tuple(row[name] for name in _CHANGING)
    statements = (
        _RAISE,
        Statement(_SELECT_STATE, which),
        Statement(_SELECT_NAMESAKE, namesake),
        Statement(_UPDATE, (*changes, *which, read_at_us, *namesake)),
    )

    def conclude(answers: Sequence[Answer]) -> ScheduleSaving:
        _, state, namesakes, updated = answers
        if not state.rows:
            return ScheduleSaving.ABSENT
        if state.rows[0][0] != read_at_us:
            return ScheduleSaving.CHANGED
        if namesakes.rows:
            return ScheduleSaving.NAME_TAKEN
        assert updated.touched == 1  # noqa: S101 - as the others have said
        return ScheduleSaving.SAVED

    return Write(_KEY, statements, conclude)


def delete(schedule_id: str, *, owner: str | None) -> Write[bool]:
    """Delete a schedule; its attempts go with it, by the foreign key. ``owner`` None: anybody's."""
    which = (schedule_id,) if owner is None else (schedule_id, owner)
    sql = _DELETE if owner is None else f"{_DELETE} AND owner = ?"
    return Write(_KEY, (_RAISE, Statement(sql, which)), lambda answers: answers[1].touched > 0)


def begin_run(run: ScheduleRunRecord) -> Write[ScheduleRunRecord | None]:
    """Insert an attempt unless it is known, and read what is stored."""
    of = (run.schedule_id, run.owner)
    statements = (
        _LOCK,
        Statement(_INSERT_RUN, (*schedule_run_row(run), *of)),
        Statement(_SELECT_RUN, (run.id, *of)),
    )

    def conclude(answers: Sequence[Answer]) -> ScheduleRunRecord | None:
        rows = answers[2].rows
        return schedule_run_record(rows[0]) if rows else None

    return Write(_KEY, statements, conclude)


def end_run(run: ScheduleRunRecord) -> Write[bool]:
    """Note how an attempt ended, or where it stands."""
    schedule_run_row(run)
    outcome = (run.status.value, run.status_code, run.error, run.completed_at_us)
    which = (run.id, run.owner)
    statements = (_LOCK, Statement(_END_RUN, (run.run_id, run.session_id, *outcome, *which)))
    return Write(_KEY, statements, lambda answers: answers[1].touched > 0)


def too_many(limit: int) -> TooManySchedulesError:
    """What to raise where an owner has as many schedules as they may."""
    return TooManySchedulesError(
        f"There are {limit} schedules already, which is as many as may be: delete one"
    )
