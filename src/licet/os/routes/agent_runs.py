"""Runs of an agent: start one, read one, list those of a session."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from licet.agent.agent import Agent
from licet.db.base import Store
from licet.db.records import RunQuery, RunStatus, SessionRecord
from licet.errors import NotFoundError
from licet.os.caller import caller_of
from licet.os.direct_route import DirectRoute
from licet.os.once import once_of
from licet.os.rules import requires
from licet.os.run_form import read_run_form
from licet.os.run_request import run_request
from licet.os.running import Asked, answer
from licet.os.schemas import RUN_BODY, RUN_RESPONSES
from licet.os.server import Server
from licet.os.sessions import find_session
from licet.os.values import identifier
from licet.os.views import JSON, run_body, run_view

SessionId = Annotated[str, Query(description="The session that the run belongs to")]
UserId = Annotated[str | None, Query(description="Whose session; for who sees all")]


def agent_run_routes(server: Server) -> APIRouter:
    """``/agents/{agent_id}/runs`` and below."""
    router = APIRouter(tags=["Agents"], route_class=DirectRoute)

    @router.post(
        "/agents/{agent_id}/runs",
        summary="Run an agent",
        openapi_extra=RUN_BODY,
        responses=RUN_RESPONSES,
    )
    @requires("agents:run", id_param="agent_id")
    async def run_agent(agent_id: str, request: Request) -> Response:
        agent = server.agent(agent_id)
        caller, form = caller_of(request), await read_run_form(request, agent)
        once = once_of(request, caller, route=f"POST /agents/{agent.id}/runs", asked=form)
        asked = run_request(form, caller)
        return await answer(
            server, Asked(agent=agent, request=asked, form=form, caller=caller, once=once)
        )

    @router.get("/agents/{agent_id}/runs", summary="The runs of a session")
    @requires("agents:run", id_param="agent_id")
    async def list_runs(
        agent_id: str,
        request: Request,
        session_id: SessionId,
        status: str | None = None,
        user_id: UserId = None,
    ) -> Response:
        agent = server.agent(agent_id)
        store, session = await _found(
            server, agent, request, session_id, user_id=user_id, missing="Session not found"
        )
        if status is not None and status not in RunStatus.__members__:
            return JSON([])
        wanted = () if status is None else (RunStatus(status),)
        query = RunQuery(component_id=agent.id, statuses=wanted)
        return JSON([run_view(run) for run in await store.list_runs(session.key, query)])

    @router.get("/agents/{agent_id}/runs/{run_id}", summary="One run")
    @requires("agents:run", id_param="agent_id")
    async def get_run(
        agent_id: str,
        run_id: str,
        request: Request,
        session_id: SessionId,
        user_id: UserId = None,
    ) -> Response:
        agent = server.agent(agent_id)
        store, session = await _found(
            server, agent, request, session_id, user_id=user_id, missing="Run not found"
        )
        run = await store.get_run(session.key, identifier(run_id, "path.run_id"))
        if run is None or run.component_id != agent.id:
            raise NotFoundError("Run", run_id, "Run not found")
        return JSON(run_body(run))

    return router


async def _found(
    server: Server,
    agent: Agent,
    request: Request,
    session_id: str,
    *,
    user_id: str | None,
    missing: str,
) -> tuple[Store, SessionRecord]:
    """The session that the request means, in the agent's database, and the handle to it."""
    caller = caller_of(request)
    store = server.db_of(agent).store(caller.access)
    session = await find_session(
        caller, store, session_id, user_id=user_id, missing=missing, field="query.session_id"
    )
    return store, session
