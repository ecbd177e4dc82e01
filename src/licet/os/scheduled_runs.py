"""The runs of agents that schedules begin: durable ones, asked for as a request would ask."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from licet.agent.agent import Agent
from licet.db.base import Access, Db
from licet.db.records import RunRecord, SessionKey
from licet.db.schedule_records import ScheduleRecord, ScheduleRunRecord
from licet.db.steps_database import Lasting
from licet.db.work_records import Once, QueueFullError, QueueLimits, RepeatedRequestError
from licet.errors import InvalidInputError, LicetError, NotFoundError
from licet.os.caller import Caller
from licet.os.run_form import RunForm, run_form
from licet.os.run_request import run_request
from licet.os.schedule_authority import ScheduleAuthority
from licet.os.values import MissingFieldError
from licet.runs.cancelling import cancel_run
from licet.runs.firing import Refusal
from licet.runs.orphans import EVERYTHING
from licet.runs.runner import Runner
from licet.runs.snapshot import Snapshot

PAYLOAD_FIELDS = (
    "message",
    "session_id",
    "session_state",
    "dependencies",
    "metadata",
    "output_schema",
)
"""What the payload of a schedule may ask of its agent."""


class SchedulesUnavailableError(LicetError):
    """There are no schedules here: nothing outlives the process, or another one has them."""

    code = "schedules_unavailable"


_STATUS: tuple[tuple[type[LicetError], int], ...] = (
    (InvalidInputError, 422),
    (NotFoundError, 404),
    (QueueFullError, 429),
    (SchedulesUnavailableError, 503),
)


@dataclass(frozen=True, kw_only=True)
class AgentsRuns:
    """The runs of a server's agents, as ``ScheduledRuns`` asks for them.

    Attributes:
        agents: by id.
        db_of: where the runs of an agent are.
        default_db: where they are of agents that are not served any more.
        runs: those of this process, which need these.
        limits: how many may wait.
        authority: decides whether a schedule may fire.
    """

    agents: Mapping[str, Agent]
    db_of: Callable[[Agent], Db]
    default_db: Db
    runs: Callable[[], Runner]
    limits: QueueLimits
    authority: ScheduleAuthority

    async def refusal(self, schedule: ScheduleRecord, attempt: ScheduleRunRecord) -> Refusal | None:
        """Why the run may not be begun, asked anew and recorded; None: it may."""
        return await self.authority.refusal(schedule, attempt)

    async def begin(self, schedule: ScheduleRecord, attempt: ScheduleRunRecord) -> Refusal | None:
        """Have the run of an attempt stored; a refusal where it cannot be."""
        try:
            await self._begin(schedule, attempt)
        except LicetError as error:
            for kind, status in _STATUS:
                if isinstance(error, kind):
                    return Refusal(reason=str(error), status=status)
            raise
        return None

    async def _begin(self, schedule: ScheduleRecord, attempt: ScheduleRunRecord) -> None:
        agent, runs = self.agents.get(schedule.agent_id), self.runs()
        if agent is None:
            raise NotFoundError("Agent", schedule.agent_id, "Agent not found")
        db, durable = lasting(self.db_of(agent)), runs.durable
        assert durable is not None  # noqa: S101 - there is a database that lasts
        form = await payload_form(schedule.payload, agent)
        snapshot = None if schedule.snapshot is None else Snapshot.from_json(schedule.snapshot)
        owner = Caller(
            principal=None if snapshot is None else snapshot.principal(),
            # Nobody's administrator: whatever their scopes, the run is the owner's own.
            grants=None,
            access=Access(schedule.owner),
        )
        assert attempt.run_id is not None and attempt.session_id is not None  # noqa: S101, PT018 - it has not ended
        request = replace(
            run_request(form, owner),
            run_id=attempt.run_id,
            session_id=attempt.session_id,
            user_id=schedule.user_id,
            request_id=attempt.id,
        )
        with suppress(RepeatedRequestError):
            await durable.enqueue(
                agent,
                request,
                db.store(owner.access),
                limits=self.limits,
                once=_once(schedule, attempt),
                snapshot=snapshot,
            )
        await runs.tell_work(db.id)

    async def find(self, attempt: ScheduleRunRecord) -> RunRecord | None:
        """The run of an attempt; None: it was not begun, or was deleted."""
        if attempt.run_id is None or attempt.session_id is None:
            return None
        key = SessionKey(attempt.owner, attempt.session_id)
        return await self._db(attempt.agent_id).store(EVERYTHING).get_run(key, attempt.run_id)

    async def cancel(self, run: RunRecord, reason: str) -> None:
        """Cancel a run, on whichever process it works."""
        await cancel_run(
            run,
            store=self._db(run.component_id).store(EVERYTHING),
            stop_here=self.runs().cancel,
            reason=reason,
            now_us=time.time_ns() // 1000,
        )

    def _db(self, agent_id: str) -> Db:
        agent = self.agents.get(agent_id)
        return self.default_db if agent is None else self.db_of(agent)


def lasting(db: Db) -> Db:
    """A database in which durable runs can be kept.

    Raises:
        SchedulesUnavailableError: it ends with the process.
    """
    if not isinstance(db, Lasting):
        raise no_lasting_database()
    return db


def no_lasting_database() -> SchedulesUnavailableError:
    """What to raise where nothing outlives the process."""
    return SchedulesUnavailableError(
        "Schedules need a database that outlives the process: a SqliteDb or a PostgresDb"
    )


async def payload_form(payload: Mapping[str, Any], agent: Agent) -> RunForm:
    """What a payload asks of an agent, checked as the body of a request would be.

    Raises:
        InvalidInputError: names the field, below ``payload``.
    """
    given = {name: payload[name] for name in PAYLOAD_FIELDS if payload.get(name) not in (None, "")}
    try:
        return await run_form(given, agent)
    except MissingFieldError as error:
        raise MissingFieldError(f"payload.{error.field}") from error
    except InvalidInputError as error:
        raise InvalidInputError(f"payload.{error.field}", error.expected) from error


def _once(schedule: ScheduleRecord, attempt: ScheduleRunRecord) -> Once:
    """A firing that is repeated after a crash begins no second run."""
    return Once(
        owner=schedule.owner,
        route=f"SCHEDULE /schedules/{schedule.id}",
        key=attempt.id,
        digest=hashlib.sha256(attempt.id.encode()).hexdigest(),
        created_at_us=attempt.created_at_us,
    )
