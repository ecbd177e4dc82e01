"""Which session a request means, and whose it is."""

from __future__ import annotations

from licet.db.base import Store
from licet.db.records import SessionRecord
from licet.errors import ConflictError, NotFoundError
from licet.os.caller import Caller
from licet.os.values import identifier


async def find_session(
    caller: Caller,
    store: Store,
    session_id: str,
    *,
    user_id: str | None = None,
    session_type: str | None = None,
    missing: str | None = None,
    field: str = "path.session_id",
) -> SessionRecord:
    """The session of that id that the caller means: their own, or the one that only they can name.

    Who sees all may find several of one id. Their own comes first; among others' the request has to
    say whose, with ``user_id``. ``field`` is where the request names the session.

    Raises:
        NotFoundError: none that this caller reaches; the same answer for other people's sessions.
        ConflictError: several owners have one, and the request does not say whose is meant.
    """
    found = await store.find_sessions(identifier(session_id, field))
    if session_type is not None:
        found = [s for s in found if s.session_type == session_type]
    if user_id is not None:
        owner = caller.owner_for(user_id)
        found = [s for s in found if s.owner == owner]
    if not found:
        kind = f"{session_type.capitalize()} Session" if session_type else "Session"
        raise NotFoundError(kind, session_id, missing or f"{kind} with id '{session_id}' not found")
    if len(found) > 1 and found[0].owner != caller.access.owner:
        raise ConflictError(
            f"{len(found)} users have a session with id '{session_id}'; say whose with user_id"
        )
    return found[0]
