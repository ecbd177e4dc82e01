"""Sessions: list, create, read, rename, change, delete. Every one is the caller's own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from licet.agent.run_request import new_id
from licet.authz.grants import Reach
from licet.db.base import SessionChanges, Store
from licet.db.records import RunQuery, RunRecord, SessionKey, SessionRecord
from licet.errors import ConflictError, NotFoundError
from licet.os import values
from licet.os.caller import Caller, caller_of
from licet.os.routes.session_bodies import (
    read_changes,
    read_deletion,
    read_new_session,
    read_rename,
)
from licet.os.routes.session_queries import Listing, Place, RunFilter
from licet.os.rules import requires
from licet.os.schemas import json_body
from licet.os.server import Server
from licet.os.sessions import find_session
from licet.os.views import (
    JSON,
    page,
    run_preview,
    run_view,
    session_detail,
    session_view,
    without_nulls,
)

Where = Annotated[Place, Query()]
Which = Annotated[RunFilter, Query()]


def session_routes(server: Server) -> APIRouter:
    """``/sessions`` and below."""
    router = APIRouter(tags=["Sessions"])
    _add_collection(router, server)
    _add_single(router, server)
    _add_changes(router, server)
    _add_runs(router, server)
    return router


def _add_collection(router: APIRouter, server: Server) -> None:
    @router.get("/sessions", summary="List sessions")
    @requires("sessions:read", listing=True)
    async def list_sessions(request: Request, which: Annotated[Listing, Query()]) -> Response:
        caller = caller_of(request)
        started = time.perf_counter()
        store = server.store(caller, which.db_id)
        found = await store.list_sessions(which.session_query(_reached_ids(caller)))
        return JSON(
            page(
                [session_view(session) for session in found.sessions],
                number=which.page,
                limit=which.limit,
                total=found.total_count,
                milliseconds=(time.perf_counter() - started) * 1000,
            )
        )

    @router.post(
        "/sessions",
        summary="Create a session",
        status_code=201,
        openapi_extra=json_body(
            "session_id", "session_name", "session_state", "metadata", "user_id", "agent_id"
        ),
    )
    @requires("sessions:write")
    async def create_session(request: Request, where: Where) -> Response:
        caller, now_us = caller_of(request), time.time_ns() // 1000
        session_type = where.type or "agent"
        given = await read_new_session(request, session_type)
        session = SessionRecord(
            owner=caller.new_owner(given.user_id),
            session_id=given.session_id or new_id(),
            session_type=session_type,
            component_id=given.component_id,
            user_id=caller.user_id(given.user_id),
            session_name=given.session_name,
            session_state=given.session_state or {},
            metadata=given.metadata,
            created_at_us=now_us,
            updated_at_us=now_us,
        )
        if not await server.store(caller, where.db_id).create_session(session):
            name = session.session_id
            raise ConflictError(
                f"Session with id '{name}' already exists. Use PATCH /sessions/{name} to update it."
            )
        return JSON(_detail(server, session, (), 0), status_code=201)

    @router.delete(
        "/sessions",
        summary="Delete sessions",
        status_code=204,
        openapi_extra=json_body("session_ids", "session_types"),
    )
    @requires("sessions:delete")
    async def delete_sessions(request: Request, where: Where) -> Response:
        caller = caller_of(request)
        store = server.store(caller, where.db_id)
        keys: dict[str, list[SessionKey]] = {}
        for session_id, session_type in await read_deletion(request):
            key = await _deletable(caller, store, session_id, where.user_id)
            if key is not None:
                keys.setdefault(session_type, []).append(key)
        for session_type, found in keys.items():
            await store.delete_sessions(found, session_type=session_type)
        return Response(status_code=204)


def _add_single(router: APIRouter, server: Server) -> None:
    @router.get("/sessions/{session_id}", summary="One session with its conversation")
    @requires("sessions:read", id_param="session_id")
    async def get_session(session_id: str, request: Request, where: Where) -> Response:
        store, session = await _found(server, request, session_id, where)
        return JSON(await _stored_detail(server, store, session))

    @router.delete("/sessions/{session_id}", summary="Delete a session", status_code=204)
    @requires("sessions:delete", id_param="session_id")
    async def delete_session(session_id: str, request: Request, where: Where) -> Response:
        caller = caller_of(request)
        store = server.store(caller, where.db_id)
        values.identifier(session_id, "path.session_id")
        key = await _deletable(caller, store, session_id, where.user_id)
        if key is not None:
            await store.delete_sessions([key])
        return Response(status_code=204)


def _add_changes(router: APIRouter, server: Server) -> None:
    async def change(
        request: Request, session_id: str, changes: SessionChanges, where: Place
    ) -> Response:
        store, session = await _found(server, request, session_id, where)
        changed = await store.update_session(
            session.key, changes, updated_at_us=time.time_ns() // 1000
        )
        if changed is None:
            raise NotFoundError("Session", session_id, f"Session with id '{session_id}' not found")
        return JSON(await _stored_detail(server, store, changed))

    @router.post(
        "/sessions/{session_id}/rename",
        summary="Rename a session",
        openapi_extra=json_body("session_name"),
    )
    @requires("sessions:write", id_param="session_id")
    async def rename_session(session_id: str, request: Request, where: Where) -> Response:
        return await change(request, session_id, await read_rename(request), where)

    @router.patch(
        "/sessions/{session_id}",
        summary="Change a session",
        openapi_extra=json_body("session_name", "session_state", "metadata", "summary"),
    )
    @requires("sessions:write", id_param="session_id")
    async def patch_session(session_id: str, request: Request, where: Where) -> Response:
        return await change(request, session_id, await read_changes(request), where)


def _add_runs(router: APIRouter, server: Server) -> None:
    async def runs_of(request: Request, session_id: str, which: RunFilter) -> Sequence[RunRecord]:
        query = which.run_query()
        missing = f"Session with ID {session_id} not found"
        store, session = await _found(server, request, session_id, which, missing=missing)
        return await store.list_runs(session.key, query)

    @router.get("/sessions/{session_id}/runs", summary="The runs of a session")
    @requires("sessions:read", id_param="session_id")
    async def list_session_runs(session_id: str, request: Request, which: Which) -> Response:
        runs = await runs_of(request, session_id, which)
        return JSON([without_nulls(run_view(run)) for run in runs])

    @router.get("/sessions/{session_id}/run-previews", summary="The runs of a session, in brief")
    @requires("sessions:read", id_param="session_id")
    async def list_run_previews(session_id: str, request: Request, which: Which) -> Response:
        return JSON([run_preview(run) for run in await runs_of(request, session_id, which)])

    @router.get("/sessions/{session_id}/runs/{run_id}", summary="One run of a session")
    @requires("sessions:read", id_param="session_id")
    async def get_session_run(
        session_id: str, run_id: str, request: Request, where: Where
    ) -> Response:
        missing = f"Run with ID {run_id} not found in session {session_id}"
        store, session = await _found(server, request, session_id, where, missing=missing)
        run = await store.get_run(session.key, values.identifier(run_id, "path.run_id"))
        if run is None:
            raise NotFoundError("Run", run_id, missing)
        return JSON(without_nulls(run_view(run)))


def _reached_ids(caller: Caller) -> frozenset[str] | None:
    reach = Reach.ALL if caller.grants is None else caller.grants.reach("sessions", "read")
    return None if reach is Reach.ALL else reach.ids


async def _found(
    server: Server, request: Request, session_id: str, where: Place, *, missing: str | None = None
) -> tuple[Store, SessionRecord]:
    """The session that the request means, and the handle that it was found with."""
    caller = caller_of(request)
    store = server.store(caller, where.db_id)
    session = await find_session(
        caller,
        store,
        session_id,
        user_id=where.user_id,
        session_type=where.type,
        missing=missing,
    )
    return store, session


async def _deletable(
    caller: Caller, store: Store, session_id: str, user_id: str | None
) -> SessionKey | None:
    """The session to delete; None where there is none that this caller reaches."""
    try:
        return (await find_session(caller, store, session_id, user_id=user_id)).key
    except NotFoundError:
        return None


async def _stored_detail(server: Server, store: Store, session: SessionRecord) -> dict[str, Any]:
    runs = await store.list_runs(session.key, RunQuery())
    return _detail(server, session, runs, await store.total_tokens(session.key))


def _detail(
    server: Server, session: SessionRecord, runs: Sequence[RunRecord], total_tokens: int
) -> dict[str, Any]:
    agent = server.agents.get(session.component_id or "")
    return session_detail(session, runs, agent=agent, total_tokens=total_tokens)
