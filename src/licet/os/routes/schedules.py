"""Schedules: runs that begin at times. Make, list, change, switch, fire, delete; each one's own."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from licet.db.schedule_records import (
    ScheduleQuery,
    ScheduleRecord,
    ScheduleSaving,
)
from licet.errors import ConflictError
from licet.os import values
from licet.os.caller import Caller, caller_of
from licet.os.routes.schedule_access import (
    find_schedule,
    no_schedule,
    require_schedules,
    store_of,
)
from licet.os.routes.schedule_bodies import (
    ScheduleFields,
    changed_fields,
    read_changes,
    read_new_schedule,
)
from licet.os.routes.schedule_runs import add_schedule_runs
from licet.os.routes.session_queries import MAX_LIMIT, MAX_PAGE
from licet.os.rules import requires
from licet.os.schedule_endpoint import NotSchedulableError
from licet.os.schedule_views import schedule_view, switched_view
from licet.os.scheduled_runs import (
    lasting,
    payload_form,
)
from licet.os.schemas import json_body
from licet.os.server import Server
from licet.os.views import JSON, page
from licet.runs.snapshot import Snapshot

logger = logging.getLogger(__name__)

_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_BODY = json_body(
    name={"type": "string", "minLength": 1, "maxLength": 255},
    cron_expr={**_TEXT, "description": "Five fields; empty or absent: fired on demand only"},
    endpoint={**_TEXT, "description": "/agents/{agent_id}/runs of this server"},
    method={"enum": ["POST"], "default": "POST"},
    description=_TEXT,
    payload={"type": "object", "description": "What the agent is asked: message, session_id, …"},
    timezone={**_TEXT, "default": "UTC", "description": "A name of the IANA database"},
    timeout_seconds={"type": "integer", "minimum": 1, "default": 3600},
    max_retries={**_COUNT, "default": 0},
    retry_delay_seconds={**_COUNT, "default": 60},
)


class Listing(BaseModel):
    """Which schedules, which page of them."""

    enabled: bool | None = None
    limit: int = Field(100, ge=1, le=MAX_LIMIT)
    page: int = Field(1, ge=1, le=MAX_PAGE)


def schedule_routes(server: Server) -> APIRouter:
    """``/schedules`` and below."""
    router = APIRouter(tags=["Schedules"])
    _add_collection(router, server)
    _add_single(router, server)
    _add_switches(router, server)
    add_schedule_runs(router, server)
    return router


def _add_collection(router: APIRouter, server: Server) -> None:
    @router.get("/schedules", summary="List schedules")
    @requires("schedules:read", listing=True)
    async def list_schedules(request: Request, which: Annotated[Listing, Query()]) -> Response:
        started, caller = time.perf_counter(), caller_of(request)
        grants = caller.grants
        found = await store_of(server, caller).list_schedules(
            ScheduleQuery(
                enabled=which.enabled,
                ids=None if grants is None else grants.reach("schedules", "read").ids,
                page=which.page,
                limit=which.limit,
            )
        )
        return JSON(
            page(
                [schedule_view(each, now=time.time()) for each in found.schedules],
                number=which.page,
                limit=which.limit,
                total=found.total_count,
                milliseconds=(time.perf_counter() - started) * 1000,
            )
        )

    @router.post(
        "/schedules", summary="Schedule runs of an agent", status_code=201, openapi_extra=_BODY
    )
    @requires("schedules:write")
    async def create_schedule(request: Request) -> Response:
        caller, asked = caller_of(request), await read_new_schedule(request)
        await _check(server, caller, asked)
        now_us = _now_us()
        schedule = asked.applied_to(
            ScheduleRecord(
                id=str(uuid.uuid4()),
                owner=caller.access.owner,
                user_id=caller.user_id(None),
                name=asked.name,
                agent_id=asked.agent_id,
                snapshot=_snapshot(caller),
                created_at_us=now_us,
                updated_at_us=now_us,
            )
        )
        limit = server.settings.max_schedules
        if not await store_of(server, caller).create(schedule, limit=limit):
            raise _name_taken(schedule)
        return JSON(schedule_view(schedule, now=time.time()), 201)


def _add_single(router: APIRouter, server: Server) -> None:
    @router.get("/schedules/{schedule_id}", summary="One schedule")
    @requires("schedules:read", id_param="schedule_id")
    async def get_schedule(schedule_id: str, request: Request) -> Response:
        schedule = await find_schedule(server, caller_of(request), schedule_id)
        return JSON(schedule_view(schedule, now=time.time()))

    @router.patch("/schedules/{schedule_id}", summary="Change a schedule", openapi_extra=_BODY)
    @requires("schedules:write", id_param="schedule_id")
    async def patch_schedule(schedule_id: str, request: Request) -> Response:
        caller = caller_of(request)
        given = await read_changes(request)
        schedule = await find_schedule(server, caller, schedule_id)
        asked = changed_fields(schedule, given)
        await _check(server, caller, asked)
        changed = await _saved(server, caller, schedule, asked.applied_to(schedule))
        return JSON(schedule_view(changed, now=time.time()))

    @router.delete("/schedules/{schedule_id}", summary="Delete a schedule", status_code=204)
    @requires("schedules:delete", id_param="schedule_id")
    async def delete_schedule(schedule_id: str, request: Request) -> Response:
        identifier = values.identifier(schedule_id, "path.schedule_id")
        await store_of(server, caller_of(request)).delete(identifier)
        return Response(status_code=204)


def _add_switches(router: APIRouter, server: Server) -> None:
    @router.post("/schedules/{schedule_id}/enable", summary="Let a schedule fire")
    @requires("schedules:write", id_param="schedule_id")
    async def enable_schedule(schedule_id: str, request: Request) -> Response:
        caller = caller_of(request)
        schedule = await find_schedule(server, caller, schedule_id)
        await _check_agent(server, caller, schedule.agent_id, schedule.payload)
        enabled = replace(schedule, enabled=True, disabled_reason=None)
        changed = await _saved(server, caller, schedule, enabled)
        return JSON(switched_view(changed, now=time.time()))

    @router.post("/schedules/{schedule_id}/disable", summary="Let a schedule fire no more")
    @requires("schedules:write", id_param="schedule_id")
    async def disable_schedule(schedule_id: str, request: Request) -> Response:
        caller = caller_of(request)
        schedule = await find_schedule(server, caller, schedule_id)
        disabled = replace(schedule, enabled=False, disabled_reason=None)
        changed = await _saved(server, caller, schedule, disabled)
        return JSON(switched_view(changed, now=time.time()))


async def _check(server: Server, caller: Caller, asked: ScheduleFields) -> None:
    await _check_agent(server, caller, asked.agent_id, asked.payload)


async def _check_agent(
    server: Server, caller: Caller, agent_id: str, payload: dict[str, Any]
) -> None:
    """Refuse what the caller may not run, or the agent would not take."""
    await server.schedule_authority.require_run(caller.principal, agent_id)
    await require_schedules(server)
    agent = server.agents.get(agent_id)
    if agent is None:
        raise NotSchedulableError(f"Invalid endpoint: there is no agent {agent_id!r} here")
    lasting(server.db_of(agent))
    await payload_form(payload, agent)


async def _saved(
    server: Server, caller: Caller, read: ScheduleRecord, changed: ScheduleRecord
) -> ScheduleRecord:
    """Store a change. Its owner gives the schedule their authority anew; nobody else does."""
    is_own = read.owner == caller.access.owner
    changed = replace(
        changed,
        snapshot=_snapshot(caller) if is_own else read.snapshot,
        updated_at_us=max(_now_us(), read.updated_at_us + 1),
    )
    saving = await store_of(server, caller).save(changed, read_at_us=read.updated_at_us)
    if saving is ScheduleSaving.ABSENT:
        raise no_schedule(read.id)
    if saving is ScheduleSaving.NAME_TAKEN:
        raise _name_taken(changed)
    if saving is ScheduleSaving.CHANGED:
        raise ConflictError("The schedule was changed meanwhile: read it again")
    return changed


def _snapshot(caller: Caller) -> bytes | None:
    principal = caller.principal
    return None if principal is None else Snapshot.of(principal, taken_at=time.time()).to_json()


def _now_us() -> int:
    return time.time_ns() // 1000


def _name_taken(schedule: ScheduleRecord) -> ConflictError:
    return ConflictError(f"Schedule with name '{schedule.name}' already exists")
