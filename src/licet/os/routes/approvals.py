"""Approvals: what runs wait for that others than their owners decide."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.types import Scope

from licet.authz.permission import Permission
from licet.db.approval_records import (
    ApprovalQuery,
    ApprovalRecord,
    ApprovalStatus,
    Deleting,
    FoundApproval,
    Resolution,
)
from licet.db.base import Db
from licet.errors import ConflictError, NotFoundError, StorageUnavailableError
from licet.os import values
from licet.os.approval_views import approval_status_view, approval_view
from licet.os.approving import require_another
from licet.os.caller import Caller, caller_of, from_scope
from licet.os.middleware.request_id import REQUEST_ID_KEY
from licet.os.routes.approval_bodies import read_resolution
from licet.os.rules import requires
from licet.os.schemas import RESOLUTION_BODY
from licet.os.server import Server
from licet.os.views import JSON, page
from licet.os.work_events import approval_event
from licet.runs.snapshot import principal_of

MAX_LIMIT = 1000
MAX_PAGE = 1_000_000


class Approvals(BaseModel):
    """Which approvals, the latest first, which page of them."""

    status: ApprovalStatus | None = None
    run_id: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    user_id: str | None = None
    tool_name: str | None = None
    db_id: str | None = Field(None, description="Which database; the default one when absent")
    limit: int = Field(100, ge=1, le=MAX_LIMIT)
    page: int = Field(1, ge=1, le=MAX_PAGE)

    def query(self, ids: frozenset[str] | None) -> ApprovalQuery:
        """The query of the database; ``ids`` are those that the caller's grants reach."""
        return ApprovalQuery(
            now_us=_now_us(),
            ids=ids,
            status=self.status,
            run_id=self.run_id,
            session_id=self.session_id,
            component_id=self.agent_id,
            user_id=self.user_id,
            tool_name=self.tool_name,
            page=self.page,
            limit=self.limit,
        )


DbId = Annotated[str | None, Query(description="Which database; the default one when absent")]


def approval_routes(server: Server) -> APIRouter:
    """``/approvals`` and below."""
    router = APIRouter(tags=["Approvals"])
    _add_reading(router, server)
    _add_deciding(router, server)
    return router


def _add_reading(router: APIRouter, server: Server) -> None:
    @router.get("/approvals", summary="List approvals")
    @requires("approvals:read", listing=True)
    async def list_approvals(request: Request, which: Annotated[Approvals, Query()]) -> Response:
        started = time.perf_counter()
        query = which.query(_ids(caller_of(request)))
        found = await _db(server, which.db_id).approvals().list(query)
        return JSON(
            page(
                [approval_view(each, now_us=query.now_us) for each in found.approvals],
                number=which.page,
                limit=which.limit,
                total=found.total_count,
                milliseconds=(time.perf_counter() - started) * 1000,
            )
        )

    @router.get("/approvals/count", summary="How many approvals are undecided")
    @requires("approvals:read", listing=True)
    async def count_approvals(
        request: Request, user_id: str | None = None, db_id: DbId = None
    ) -> Response:
        query = ApprovalQuery(
            now_us=_now_us(),
            ids=_ids(caller_of(request)),
            status=ApprovalStatus.PENDING,
            user_id=user_id,
            limit=0,
        )
        found = await _db(server, db_id).approvals().list(query)
        return JSON({"count": found.total_count})

    @router.get("/approvals/{approval_id}", summary="One approval")
    @requires("approvals:read", id_param="approval_id")
    async def get_approval(approval_id: str, db_id: DbId = None) -> Response:
        found = await _found(_db(server, db_id), approval_id)
        return JSON(approval_view(found, now_us=_now_us()))

    @router.get("/approvals/{approval_id}/status", summary="Where an approval stands")
    @requires("approvals:read", id_param="approval_id")
    async def get_status(approval_id: str, db_id: DbId = None) -> Response:
        found = await _found(_db(server, db_id), approval_id)
        return JSON(approval_status_view(found, now_us=_now_us()))


def _add_deciding(router: APIRouter, server: Server) -> None:
    @router.post(
        "/approvals/{approval_id}/resolve",
        summary="Approve or reject a call",
        openapi_extra=RESOLUTION_BODY,
        responses={409: {"description": "It is decided, or nobody waits for it any more"}},
    )
    @requires("approvals:write", id_param="approval_id")
    async def resolve_approval(approval_id: str, request: Request, db_id: DbId = None) -> Response:
        caller, db = caller_of(request), _db(server, db_id)
        wanted = await read_resolution(request)
        found = await _found(db, approval_id)
        await _require_may_decide(server, db, caller, found)
        principal = caller.principal
        resolution = Resolution(
            approved=wanted.approved,
            by=wanted.resolved_by if principal is None else principal.subject,
            by_owner=None if principal is None else principal.owner,
            at_us=_now_us(),
            data=wanted.data,
        )
        if found.status(now_us=resolution.at_us) is not ApprovalStatus.PENDING:
            raise _decided_before(found, resolution)
        record = partial(_record, server, request.scope, found.approval, approved=wanted.approved)
        await record()
        was_pending = await db.approvals().resolve(found.approval.id, resolution)
        if was_pending and found.approval.continues:
            await server.runs.tell_work(db.id)
        found = await _found(db, approval_id)
        if not was_pending:
            await record(late_status=409)
            raise _decided_before(found, resolution)
        return JSON(approval_view(found, now_us=resolution.at_us))

    @router.delete(
        "/approvals/{approval_id}",
        summary="Delete an approval whose run has ended",
        status_code=204,
        responses={409: {"description": "Its run has not ended"}},
    )
    @requires("approvals:delete", id_param="approval_id")
    async def delete_approval(approval_id: str, db_id: DbId = None) -> Response:
        db = _db(server, db_id)
        identifier = values.identifier(approval_id, "path.approval_id")
        deleting = await db.approvals().delete(identifier)
        if deleting is Deleting.REFUSED:
            raise ConflictError("The approval's run has not ended: what is decided still counts")
        return Response(status_code=204)


async def _require_may_decide(server: Server, db: Db, caller: Caller, found: FoundApproval) -> None:
    """Refuse whoever was revoked a moment ago, and whoever asked for it themselves."""
    if caller.principal is None:
        return
    await server.check_authority(caller.principal)
    if server.self_approval:
        return
    job = await db.work().job(found.approval.run_id)
    initiator = None if job is None else principal_of(job)[1]
    await require_another(server.default_db.trust(), caller.principal, initiator)


async def _record(
    server: Server,
    scope: Scope,
    approval: ApprovalRecord,
    *,
    approved: bool,
    late_status: int | None = None,
) -> None:
    """Record what is decided, before it counts. Where nobody is authenticated nothing is."""
    principal = from_scope(scope).principal
    if principal is None:
        return
    client = scope.get("client")
    event = approval_event(
        approval,
        principal,
        approved=approved,
        permission=Permission("approvals", "write", id_param="approval_id"),
        request_id=scope.get(REQUEST_ID_KEY, ""),
        client=None if client is None else str(client[0]),
        late_status=late_status,
    )
    unrecorded = await server.auditing.record_work([event])
    if unrecorded is not None:
        raise StorageUnavailableError(unrecorded.detail)


def _decided_before(found: FoundApproval, resolution: Resolution) -> ConflictError:
    stands = found.status(now_us=resolution.at_us)
    return ConflictError(f"Approval is already '{stands}' and cannot be resolved")


async def _found(db: Db, approval_id: str) -> FoundApproval:
    found = await db.approvals().get(values.identifier(approval_id, "path.approval_id"))
    if found is None:
        raise NotFoundError("Approval", approval_id, "Approval not found")
    return found


def _ids(caller: Caller) -> frozenset[str] | None:
    return None if caller.grants is None else caller.grants.reach("approvals", "read").ids


def _db(server: Server, db_id: str | None) -> Db:
    return server.default_db if db_id is None else server.db(db_id)


def _now_us() -> int:
    return time.time_ns() // 1000
