"""Revocations: take back, list what was taken back, undo."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from licet.db.trust_records import RevocationKind, RevocationQuery
from licet.errors import NotFoundError
from licet.os import values
from licet.os.caller import caller_of
from licet.os.routes.revocation_bodies import read_revocation
from licet.os.routes.session_queries import MAX_LIMIT, MAX_PAGE
from licet.os.rules import requires
from licet.os.schemas import json_body
from licet.os.server import Server
from licet.os.views import JSON, page, revocation_view


class Revocations(BaseModel):
    """Which revocations, and which page of them; the latest first."""

    kind: RevocationKind | None = None
    issuer: str | None = Field(None, description="The issuer's alias")
    value: str | None = Field(None, description="The token id, subject or key that was revoked")
    limit: int = Field(20, ge=1, le=MAX_LIMIT)
    page: int = Field(1, ge=1, le=MAX_PAGE)


def revocation_routes(server: Server) -> APIRouter:
    """``/revocations`` and below."""
    router = APIRouter(tags=["Revocations"])

    @router.get("/revocations", summary="What was revoked and is in force")
    @requires("revocations:read")
    async def list_revocations(which: Annotated[Revocations, Query()]) -> Response:
        started = time.perf_counter()
        found = await server.default_db.trust().list_revocations(
            RevocationQuery(
                now_us=time.time_ns() // 1000,
                kind=which.kind,
                issuer_alias=which.issuer,
                value=which.value,
                page=which.page,
                limit=which.limit,
            )
        )
        return JSON(
            page(
                [revocation_view(revocation) for revocation in found.revocations],
                number=which.page,
                limit=which.limit,
                total=found.total_count,
                milliseconds=(time.perf_counter() - started) * 1000,
            )
        )

    @router.post(
        "/revocations",
        summary="Revoke a token, a login session, a subject, a key or a service account",
        status_code=201,
        openapi_extra=json_body(
            *("token_id", "sid", "subject", "key_id", "service_account"),
            *("issuer", "issued_before", "expires_at", "reason"),
        ),
    )
    @requires("revocations:write")
    async def revoke(request: Request) -> Response:
        principal = caller_of(request).principal
        wanted = await read_revocation(
            request, created_by=None if principal is None else principal.owner
        )
        await server.check_authority(principal)
        stored = await server.revoking.revoke(wanted)
        await server.refresh_trust()
        return JSON(revocation_view(stored), 201)

    @router.delete(
        "/revocations/{revocation_id}", summary="Take a revocation back", status_code=204
    )
    @requires("revocations:delete")
    async def take_back(revocation_id: str, request: Request) -> Response:
        known = values.identifier(revocation_id, "path.revocation_id")
        # Else whoever was revoked could take that back, where it has not been heard of yet.
        await server.check_authority(caller_of(request).principal)
        taken_back = await server.default_db.trust().delete_revocation(
            known, deleted_at_us=time.time_ns() // 1000
        )
        if not taken_back:
            raise NotFoundError("Revocation", known, f"Revocation '{known}' not found")
        await server.refresh_trust()
        return Response(status_code=204)

    return router
