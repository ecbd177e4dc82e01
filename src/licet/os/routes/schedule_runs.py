"""What came of schedules: fire one now, list its firings, read one."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from licet.db.schedule_records import ScheduleRecord, ScheduleRunRecord
from licet.errors import NotFoundError
from licet.os import values
from licet.os.caller import caller_of
from licet.os.routes.schedule_access import (
    find_schedule,
    no_schedule,
    require_schedules,
    store_of,
)
from licet.os.routes.session_queries import MAX_LIMIT, MAX_PAGE
from licet.os.rules import requires
from licet.os.schedule_views import schedule_run_view
from licet.os.server import Server
from licet.os.views import JSON, page
from licet.runs.schedule_outcome import as_its_run_stands


class RunListing(BaseModel):
    """Which page of what came of a schedule."""

    limit: int = Field(100, ge=1, le=MAX_LIMIT)
    page: int = Field(1, ge=1, le=MAX_PAGE)


def add_schedule_runs(router: APIRouter, server: Server) -> None:
    """``/schedules/{schedule_id}/trigger`` and ``/schedules/{schedule_id}/runs``."""
    _add_trigger(router, server)
    _add_runs(router, server)


def _add_trigger(router: APIRouter, server: Server) -> None:
    @router.post(
        "/schedules/{schedule_id}/trigger", summary="Fire a schedule now, and wait for its run"
    )
    @requires("schedules:write", id_param="schedule_id")
    async def trigger_schedule(schedule_id: str, request: Request) -> Response:
        schedule = await find_schedule(server, caller_of(request), schedule_id)
        schedules = await require_schedules(server)
        run = await schedules.trigger(schedule)
        if run is None:
            raise no_schedule(schedule_id)
        return JSON(schedule_run_view(run, schedule))


def _add_runs(router: APIRouter, server: Server) -> None:
    @router.get("/schedules/{schedule_id}/runs", summary="What came of a schedule")
    @requires("schedules:read", id_param="schedule_id")
    async def list_schedule_runs(
        schedule_id: str, request: Request, which: Annotated[RunListing, Query()]
    ) -> Response:
        started, caller = time.perf_counter(), caller_of(request)
        schedule = await find_schedule(server, caller, schedule_id)
        found = await store_of(server, caller).list_runs(
            schedule.id, page=which.page, limit=which.limit
        )
        return JSON(
            page(
                [
                    schedule_run_view(await _as_it_stands(server, schedule, run), schedule)
                    for run in found.runs
                ],
                number=which.page,
                limit=which.limit,
                total=found.total_count,
                milliseconds=(time.perf_counter() - started) * 1000,
            )
        )

    @router.get("/schedules/{schedule_id}/runs/{run_id}", summary="What came of one firing")
    @requires("schedules:read", id_param="schedule_id")
    async def get_schedule_run(schedule_id: str, run_id: str, request: Request) -> Response:
        caller = caller_of(request)
        schedule = await find_schedule(server, caller, schedule_id)
        run = await store_of(server, caller).get_run(
            schedule.id, values.identifier(run_id, "path.run_id")
        )
        if run is None:
            raise NotFoundError("Schedule run", run_id, "Schedule run not found")
        return JSON(schedule_run_view(await _as_it_stands(server, schedule, run), schedule))


async def _as_it_stands(
    server: Server, schedule: ScheduleRecord, attempt: ScheduleRunRecord
) -> ScheduleRunRecord:
    """What came of a firing, told from its run where that is not stored yet."""
    if attempt.completed_at_us is not None:
        return attempt
    run = await server.scheduled_runs.find(attempt)
    if run is None:
        return attempt
    return as_its_run_stands(attempt, run, timeout_seconds=schedule.timeout_seconds)
