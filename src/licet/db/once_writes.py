"""Requests that are to be done once: the statements that go with the run that one begins."""

from __future__ import annotations

from collections.abc import Sequence

from licet.db.records import RunRecord, SessionKey
from licet.db.work_codec import ONCE_COLUMNS, once_row
from licet.db.work_records import Once, RepeatedRequestError
from licet.db.writes import Answer, ContentionError, Statement, insert_unless_known

# Of two processes, the second waits here until the first has committed. Two requests of each of two
# keys, in four sessions, may wait in a circle; the database ends that, and it is tried again.
_INSERT = insert_unless_known("licet_once", ONCE_COLUMNS, "owner, route, key")
_SELECT = (
    "SELECT digest, session_owner, session_id, run_id FROM licet_once "
    "WHERE owner = ? AND route = ? AND key = ?"
)


def first_statements(once: Once | None, run: RunRecord) -> tuple[Statement, ...]:
    """Insert the key of a request, and read whose it is. After the run that the row refers to."""
    if once is None:
        return ()
    which = (once.owner, once.route, once.key)
    return (Statement(_INSERT, once_row(once, run)), Statement(_SELECT, which))


def check_first(once: Once | None, run: RunRecord, answers: Sequence[Answer]) -> None:
    """See that the request is the first of its key. ``answers``: of ``first_statements``.

    Raises:
        RepeatedRequestError: there was one before.
    """
    if once is None or answers[0].touched > 0:
        return
    if not answers[1].rows:
        raise ContentionError(f"the run that was asked for before {run.run_id!r} was deleted")
    digest, owner, session_id, run_id = answers[1].rows[0]
    raise RepeatedRequestError(SessionKey(owner, session_id), run_id, same=digest == once.digest)
