"""Sessions: list, create, read, rename, change, delete. Every one is the caller's own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from licet.agent.run import new_id
from licet.authz.grants import Reach
from licet.db.base import SessionChanges, Store
from licet.db.records import RunQuery, RunRecord, RunStatus, SessionKey, SessionQuery, SessionRecord
from licet.errors import ConflictError, InvalidInputError, NotFoundError
from licet.os import values
from licet.os.caller import Caller, caller_of
from licet.os.routes.session_bodies import (
    MAX_NAME_CHARS,
    read_changes,
    read_deletion,
    read_new_session,
    read_rename,
)
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

MAX_PAGE = 1_000_000
MAX_LIMIT = 1000

SessionType = Literal["agent", "team", "workflow"]
DbId = Annotated[str | None, Query(description="Which database; the default one when absent")]
UserId = Annotated[str | None, Query(description="Whose sessions; for who sees all")]
Type = Annotated[SessionType | None, Query(description="Only sessions of that type")]
Statuses = Annotated[list[str] | None, Query(description="Only runs with these statuses")]
Epoch = Annotated[int | None, Query(ge=0, le=253_402_300_799, description="Epoch seconds")]


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
    async def list_sessions(
        request: Request,
        type: Type = None,
        component_id: str | None = None,
        user_id: UserId = None,
        session_name: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 20,
        page_number: Annotated[int, Query(alias="page", ge=1, le=MAX_PAGE)] = 1,
        sort_by: str = "created_at",
        sort_order: Literal["asc", "desc"] = "desc",
        db_id: DbId = None,
    ) -> Response:
        caller = caller_of(request)
        started = time.perf_counter()
        found = await server.store(caller, db_id).list_sessions(
            SessionQuery(
                session_type=type,
                component_id=_filter(component_id, "query.component_id"),
                user_id=_filter(user_id, "query.user_id"),
                session_name=_filter(session_name, "query.session_name"),
                session_ids=_reached_ids(caller),
                sort_by=_sort_key(sort_by),
                descending=sort_order == "desc",
                page=page_number,
                limit=limit,
            )
        )
        return JSON(
            page(
                [session_view(session) for session in found.sessions],
                number=page_number,
                limit=limit,
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
    async def create_session(
        request: Request, type: SessionType = "agent", db_id: DbId = None
    ) -> Response:
        caller, now_us = caller_of(request), time.time_ns() // 1000
        given = await read_new_session(request, type)
        session = SessionRecord(
            owner=caller.new_owner(given.user_id),
            session_id=given.session_id or new_id(),
            session_type=type,
            component_id=given.component_id,
            user_id=caller.user_id(given.user_id),
            session_name=given.session_name,
            session_state=given.session_state or {},
            metadata=given.metadata,
            created_at_us=now_us,
            updated_at_us=now_us,
        )
        if not await server.store(caller, db_id).create_session(session):
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
    async def delete_sessions(
        request: Request, user_id: UserId = None, db_id: DbId = None
    ) -> Response:
        caller, store = caller_of(request), server.store(caller_of(request), db_id)
        keys: dict[str, list[SessionKey]] = {}
        for session_id, session_type in await read_deletion(request):
            key = await _deletable(caller, store, session_id, user_id)
            if key is not None:
                keys.setdefault(session_type, []).append(key)
        for session_type, found in keys.items():
            await store.delete_sessions(found, session_type=session_type)
        return Response(status_code=204)


def _add_single(router: APIRouter, server: Server) -> None:
    @router.get("/sessions/{session_id}", summary="One session with its conversation")
    @requires("sessions:read", id_param="session_id")
    async def get_session(
        session_id: str,
        request: Request,
        type: Type = None,
        user_id: UserId = None,
        db_id: DbId = None,
    ) -> Response:
        caller = caller_of(request)
        store = server.store(caller, db_id)
        session = await find_session(caller, store, session_id, user_id=user_id, session_type=type)
        return JSON(await _stored_detail(server, store, session))

    @router.delete("/sessions/{session_id}", summary="Delete a session", status_code=204)
    @requires("sessions:delete", id_param="session_id")
    async def delete_session(
        session_id: str, request: Request, user_id: UserId = None, db_id: DbId = None
    ) -> Response:
        caller = caller_of(request)
        store = server.store(caller, db_id)
        values.identifier(session_id, "path.session_id")
        key = await _deletable(caller, store, session_id, user_id)
        if key is not None:
            await store.delete_sessions([key])
        return Response(status_code=204)


def _add_changes(router: APIRouter, server: Server) -> None:
    async def change(
        request: Request,
        session_id: str,
        changes: SessionChanges,
        type: SessionType | None,
        user_id: str | None,
        db_id: str | None,
    ) -> Response:
        caller = caller_of(request)
        store = server.store(caller, db_id)
        session = await find_session(caller, store, session_id, user_id=user_id, session_type=type)
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
    async def rename_session(
        session_id: str,
        request: Request,
        type: Type = None,
        user_id: UserId = None,
        db_id: DbId = None,
    ) -> Response:
        return await change(request, session_id, await read_rename(request), type, user_id, db_id)

    @router.patch(
        "/sessions/{session_id}",
        summary="Change a session",
        openapi_extra=json_body("session_name", "session_state", "metadata", "summary"),
    )
    @requires("sessions:write", id_param="session_id")
    async def patch_session(
        session_id: str,
        request: Request,
        type: Type = None,
        user_id: UserId = None,
        db_id: DbId = None,
    ) -> Response:
        return await change(request, session_id, await read_changes(request), type, user_id, db_id)


def _add_runs(router: APIRouter, server: Server) -> None:
    async def runs_of(
        request: Request,
        session_id: str,
        query: RunQuery,
        type: SessionType | None,
        user_id: str | None,
        db_id: str | None,
    ) -> Sequence[RunRecord]:
        caller = caller_of(request)
        store = server.store(caller, db_id)
        session = await find_session(
            caller,
            store,
            session_id,
            user_id=user_id,
            session_type=type,
            missing=f"Session with ID {session_id} not found",
        )
        return await store.list_runs(session.key, query)

    @router.get("/sessions/{session_id}/runs", summary="The runs of a session")
    @requires("sessions:read", id_param="session_id")
    async def list_session_runs(
        session_id: str,
        request: Request,
        type: Type = None,
        created_after: Epoch = None,
        created_before: Epoch = None,
        status: Statuses = None,
        user_id: UserId = None,
        db_id: DbId = None,
    ) -> Response:
        query = _run_query(created_after, created_before, status)
        runs = await runs_of(request, session_id, query, type, user_id, db_id)
        return JSON([without_nulls(run_view(run)) for run in runs])

    @router.get("/sessions/{session_id}/run-previews", summary="The runs of a session, in brief")
    @requires("sessions:read", id_param="session_id")
    async def list_run_previews(
        session_id: str,
        request: Request,
        type: Type = None,
        created_after: Epoch = None,
        created_before: Epoch = None,
        status: Statuses = None,
        user_id: UserId = None,
        db_id: DbId = None,
    ) -> Response:
        query = _run_query(created_after, created_before, status)
        runs = await runs_of(request, session_id, query, type, user_id, db_id)
        return JSON([run_preview(run) for run in runs])

    @router.get("/sessions/{session_id}/runs/{run_id}", summary="One run of a session")
    @requires("sessions:read", id_param="session_id")
    async def get_session_run(
        session_id: str,
        run_id: str,
        request: Request,
        type: Type = None,
        user_id: UserId = None,
        db_id: DbId = None,
    ) -> Response:
        caller = caller_of(request)
        store = server.store(caller, db_id)
        missing = f"Run with ID {run_id} not found in session {session_id}"
        session = await find_session(
            caller, store, session_id, user_id=user_id, session_type=type, missing=missing
        )
        run = await store.get_run(session.key, values.identifier(run_id, "path.run_id"))
        if run is None:
            raise NotFoundError("Run", run_id, missing)
        return JSON(without_nulls(run_view(run)))


def _reached_ids(caller: Caller) -> frozenset[str] | None:
    reach = Reach.ALL if caller.grants is None else caller.grants.reach("sessions", "read")
    return None if reach is Reach.ALL else reach.ids


def _sort_key(name: str) -> Literal["created_at", "updated_at", "session_name"]:
    """Unknown names are ignored, as clients of the interface are used to."""
    if name == "updated_at":
        return "updated_at"
    return "session_name" if name == "session_name" else "created_at"


def _filter(value: str | None, field: str) -> str | None:
    """A text to filter by; an empty one counts as absent."""
    if not value:
        return None
    if len(value) > MAX_NAME_CHARS:
        raise InvalidInputError(field, f"at most {MAX_NAME_CHARS} characters")
    return values.text(value, field)


def _run_query(
    created_after: int | None, created_before: int | None, status: list[str] | None
) -> RunQuery:
    names = [name.upper() for name in status or ()]
    unknown = [name for name in names if name not in RunStatus.__members__]
    if unknown:
        raise InvalidInputError("query.status", f"one of {', '.join(RunStatus.__members__)}")
    return RunQuery(
        statuses=tuple(RunStatus(name) for name in names),
        created_from_us=None if created_after is None else created_after * 1_000_000,
        created_to_us=None if created_before is None else created_before * 1_000_000 + 999_999,
    )


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
