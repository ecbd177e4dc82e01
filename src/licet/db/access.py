"""The rules of access that every store asks before it looks at a row."""

from __future__ import annotations

from licet.db.base import Access
from licet.db.codec import storable
from licet.db.records import RunRecord, SessionKey, SessionRecord
from licet.errors import InvalidInputError, NotFoundError


def require_reach(access: Access, session: SessionRecord) -> None:
    """Refuse to write a session for somebody whom the access does not reach.

    Raises:
        NotFoundError: the owner is not reached.
    """
    if not access.reaches(session.owner):
        raise NotFoundError("session", session.session_id)


def require_same_session(session: SessionRecord, run: RunRecord) -> None:
    """Refuse to begin a run in a session that is not its own.

    Raises:
        InvalidInputError: the run names another session.
    """
    if run.session_key != session.key:
        raise InvalidInputError("run", "expected the owner and the session_id of its session")


def may_exist(access: Access, key: SessionKey) -> bool:
    """Whether a row of that key can exist for the access."""
    return access.reaches(key.owner) and storable(*key)
