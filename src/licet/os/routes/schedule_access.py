"""Whose schedules a request reaches, and whether there are any here."""

from __future__ import annotations

import logging

from licet.db.base import Access
from licet.db.schedule_base import ScheduleStore
from licet.db.schedule_records import ScheduleRecord
from licet.errors import ConfigurationError, NotFoundError
from licet.os import values
from licet.os.caller import Caller
from licet.os.scheduled_runs import SchedulesUnavailableError, no_lasting_database
from licet.os.server import Server
from licet.runs.schedules import Schedules

logger = logging.getLogger(__name__)


def store_of(server: Server, caller: Caller) -> ScheduleStore:
    """The caller's own schedules; the administrator's: everybody's.

    Also where users are not isolated: a schedule acts under its owner's authority, which nobody
    else may direct.
    """
    access = Access(caller.access.owner, sees_all=caller.is_admin)
    return server.default_db.schedules(access)


async def find_schedule(server: Server, caller: Caller, schedule_id: str) -> ScheduleRecord:
    """The schedule that a request means.

    Raises:
        NotFoundError: there is none that this caller reaches.
    """
    identifier = values.identifier(schedule_id, "path.schedule_id")
    schedule = await store_of(server, caller).get(identifier)
    if schedule is None:
        raise no_schedule(schedule_id)
    return schedule


async def require_schedules(server: Server) -> Schedules:
    """The schedules of this process.

    Raises:
        SchedulesUnavailableError: there are none here: nobody would ever fire what is accepted.
        StorageError: the engine's database cannot be reached.
    """
    schedules = server.runs.schedules
    if schedules is None:
        raise no_lasting_database()
    if not server.runs.started:
        logger.error("schedules need the app's lifespan, without which it is served here")
        raise _served_elsewhere()
    try:
        await schedules.ready()
    except ConfigurationError as error:
        # Told to the operator; to whoever asks it is a server that has no schedules.
        logger.error("%s", error)  # noqa: TRY400 - the text says it all
        raise _served_elsewhere() from None
    return schedules


def no_schedule(schedule_id: str) -> NotFoundError:
    """What to raise where there is none, or it is not the caller's."""
    return NotFoundError("Schedule", schedule_id, "Schedule not found")


def _served_elsewhere() -> SchedulesUnavailableError:
    return SchedulesUnavailableError("Schedules are served by another process")
