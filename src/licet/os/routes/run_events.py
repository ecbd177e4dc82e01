"""Following the events of a run, from any place on; going on with it, and cancelling it."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from licet.agent.agent import Agent
from licet.db.base import Store
from licet.db.records import RunRecord
from licet.db.run_states import UNENDED
from licet.errors import InvalidInputError, NotFoundError
from licet.os import values
from licet.os.caller import Caller, caller_of
from licet.os.continue_form import read_continue_form
from licet.os.continuing import Paused, go_on
from licet.os.direct_route import DirectRoute
from licet.os.resuming import resumed, seen_of
from licet.os.rules import requires
from licet.os.run_form import read_fields
from licet.os.schemas import CONTINUE_BODY, RESUME_BODY, RUN_RESPONSES
from licet.os.server import Server
from licet.os.sse import EventStream, body_of
from licet.os.views import JSON
from licet.runs.cancelling import cancel_run

_NONE = -1
_INDEX = re.compile(r"-1|[0-9]{1,15}")
_MAX_INDEX = 10**15
_NOTHING_MORE = 204

SessionId = Annotated[str | None, Query(description="The session that the run belongs to")]
LastEventIndex = Annotated[
    str | None, Query(description="The highest event_index that was seen; -1: none")
]
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="The same, as browsers say it; it goes before"),
]


def run_event_routes(server: Server) -> APIRouter:
    """``/agents/{agent_id}/runs/{run_id}/events``, ``…/resume``, ``…/continue``, ``…/cancel``."""
    router = APIRouter(tags=["Agents"], route_class=DirectRoute)

    @router.get(
        "/agents/{agent_id}/runs/{run_id}/events",
        summary="Follow a run",
        status_code=200,
        response_class=EventStream,
        responses={204: {"description": "The run has ended, and all was seen"}},
    )
    @requires("agents:run", id_param="agent_id")
    async def follow_run(
        agent_id: str,
        run_id: str,
        request: Request,
        session_id: SessionId = None,
        last_event_index: LastEventIndex = None,
        last_event_id: LastEventId = None,
    ) -> Response:
        agent = server.agent(agent_id)
        last = _index(last_event_id, "header.last-event-id")
        if last is None:
            last = _index(last_event_index, "query.last_event_index")
        store, run = await _found(server, agent, caller_of(request), run_id, session_id)
        source = await server.runs.events_of(run, store)
        seen = seen_of(source, _NONE if last is None else last)
        if source.ended and seen == source.next_index - 1:
            # What makes a browser's EventSource ask no more.
            return Response(status_code=_NOTHING_MORE)
        ping_seconds = server.settings.ping_seconds
        return server.stream(body_of(source, run_id, after=seen, ping_seconds=ping_seconds))

    @router.post(
        "/agents/{agent_id}/runs/{run_id}/resume",
        summary="Follow a run from where it was left",
        openapi_extra=RESUME_BODY,
        status_code=200,
        response_class=EventStream,
    )
    @requires("agents:run", id_param="agent_id")
    async def resume_run(agent_id: str, run_id: str, request: Request) -> Response:
        agent = server.agent(agent_id)
        given, _ = await read_fields(request)
        last = _index(given.get("last_event_index"), "last_event_index")
        store, run = await _found(
            server, agent, caller_of(request), run_id, given.get("session_id"), field="session_id"
        )
        source = await server.runs.events_of(run, store)
        if source.ended and run.status in UNENDED:
            # It ended while it was looked for.
            run = await store.get_run(run.session_key, run_id) or run
        return server.stream(
            resumed(
                source,
                run_id,
                run.status,
                last_event_index=_NONE if last is None else last,
                ping_seconds=server.settings.ping_seconds,
            )
        )

    @router.post(
        "/agents/{agent_id}/runs/{run_id}/continue",
        summary="Go on with a paused run",
        openapi_extra=CONTINUE_BODY,
        responses={
            **RUN_RESPONSES,
            409: {"description": "It is not paused, waits still, or somebody else was first"},
        },
    )
    @requires("agents:run", id_param="agent_id")
    async def continue_run(agent_id: str, run_id: str, request: Request) -> Response:
        agent, form = server.agent(agent_id), await read_continue_form(request)
        store, run = await _found(
            server, agent, caller_of(request), run_id, form.session_id, field="session_id"
        )
        return await go_on(server, Paused(agent=agent, run=run, store=store, form=form))

    @router.post(
        "/agents/{agent_id}/runs/{run_id}/cancel",
        summary="Cancel a run",
        responses={409: {"description": "The run has ended already"}},
    )
    @requires("agents:run", id_param="agent_id")
    async def cancel(
        agent_id: str, run_id: str, request: Request, session_id: SessionId = None
    ) -> Response:
        agent, caller = server.agent(agent_id), caller_of(request)
        store, run = await _found(server, agent, caller, run_id, session_id)
        await cancel_run(
            run,
            store=store,
            stop_here=server.runs.cancel,
            reason=_cancelled_by(caller),
            now_us=int(time.time() * 1_000_000),
        )
        return JSON({})

    return router


async def _found(
    server: Server,
    agent: Agent,
    caller: Caller,
    run_id: str,
    session_id: Any,
    *,
    field: str = "query.session_id",
) -> tuple[Store, RunRecord]:
    """A run of that agent, in whichever session that the caller reaches, and the handle to it.

    ``session_id`` is what the request says, in that field; None or empty: nothing.

    Raises:
        NotFoundError: there is none; the same answer for other people's.
    """
    store = server.db_of(agent).store(caller.access)
    named = None
    if session_id is not None and session_id != "":
        named = values.identifier(session_id, field)
    run = await store.find_run(values.identifier(run_id, "path.run_id"))
    if run is None or run.component_id != agent.id or named not in {None, run.session_id}:
        raise NotFoundError("Run", run_id, "Run not found")
    return store, run


def _index(given: Any, field: str) -> int | None:
    """The index of an event as a client names it, a number or its text; None: it names none.

    Raises:
        InvalidInputError: it is no index.
    """
    if given is None or given == "":
        return None
    if isinstance(given, str) and _INDEX.fullmatch(given):
        return int(given)
    if isinstance(given, int) and not isinstance(given, bool) and _NONE <= given <= _MAX_INDEX:
        return given
    raise InvalidInputError(field, "the index of an event, or -1")


def _cancelled_by(caller: Caller) -> str:
    return "cancelled" if caller.principal is None else f"cancelled by {caller.principal.subject}"
