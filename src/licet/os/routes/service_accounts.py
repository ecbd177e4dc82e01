"""Service accounts: make, list, rotate, revoke."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

from licet.authn.principal import Principal
from licet.authz.families import DEFAULT_FAMILIES
from licet.db.trust_records import ServiceAccountQuery
from licet.os import values
from licet.os.caller import Caller, caller_of
from licet.os.config import DEFAULT_ADMIN_SCOPE
from licet.os.routes.service_account_bodies import read_new_account, read_rotation
from licet.os.routes.session_queries import MAX_PAGE
from licet.os.rules import requires
from licet.os.schemas import json_body
from licet.os.server import Server
from licet.os.service_accounts import Grantor, Minted, Minting
from licet.os.views import JSON, page, service_account_view

_SORTS = frozenset(("created_at", "name", "last_used_at", "expires_at"))


class Accounts(BaseModel):
    """Which service accounts, in which order, which page of them."""

    include_revoked: bool = False
    limit: int = Field(20, ge=1, le=100)
    page: int = Field(1, ge=1, le=MAX_PAGE)
    sort_by: str = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"


def service_account_routes(server: Server) -> APIRouter:
    """``/service-accounts`` and below."""
    router = APIRouter(tags=["Service accounts"])
    _add_collection(router, server)
    _add_single(router, server)
    return router


def _add_collection(router: APIRouter, server: Server) -> None:
    @router.get("/service-accounts", summary="List service accounts")
    @requires("service_accounts:read", listing=True)
    async def list_accounts(request: Request, which: Annotated[Accounts, Query()]) -> Response:
        started = time.perf_counter()
        grants = caller_of(request).grants
        found = await server.default_db.trust().list_service_accounts(
            ServiceAccountQuery(
                include_revoked=which.include_revoked,
                ids=None if grants is None else grants.reach("service_accounts", "read").ids,
                sort_by=which.sort_by if which.sort_by in _SORTS else "created_at",  # type: ignore[arg-type]  # one of the four
                descending=which.sort_order == "desc",
                page=which.page,
                limit=which.limit,
            )
        )
        return JSON(
            page(
                [service_account_view(account) for account in found.service_accounts],
                number=which.page,
                limit=which.limit,
                total=found.total_count,
                milliseconds=(time.perf_counter() - started) * 1000,
            )
        )

    @router.post(
        "/service-accounts",
        summary="Make a service account; its token is shown once",
        status_code=201,
        openapi_extra=json_body(
            "name", "scopes", "expires_in_days", "never_expires", "allow_privileged_scopes"
        ),
    )
    @requires("service_accounts:write")
    async def create_account(request: Request) -> Response:
        principal, grantor = _grantor(caller_of(request))
        minting = _minting(server)
        wanted = await read_new_account(request)
        minted = await server.giving.give(
            principal,
            lambda: minting.mint(wanted, grantor),
            take_back=lambda minted: minting.revoke(minted.account.id),
        )
        return _shown(minted)


def _add_single(router: APIRouter, server: Server) -> None:
    @router.post(
        "/service-accounts/{service_account_id}/rotate",
        summary="Give a service account another token; the old one stays good for a while",
        status_code=201,
        openapi_extra=json_body("overlap_seconds", "expires_in_days"),
    )
    @requires("service_accounts:write", id_param="service_account_id")
    async def rotate_account(service_account_id: str, request: Request) -> Response:
        principal, grantor = _grantor(caller_of(request))
        minting = _minting(server)
        account_id = values.identifier(service_account_id, "path.service_account_id")
        overlap_seconds, expires_in_days = await read_rotation(request)
        minted = await server.giving.give(
            principal,
            lambda: minting.rotate(
                account_id,
                grantor,
                overlap_seconds=overlap_seconds,
                expires_in_days=expires_in_days,
            ),
            # The token alone: else whoever was revoked would end accounts that are not theirs.
            take_back=minting.end_token,
        )
        return _shown(minted)

    @router.delete(
        "/service-accounts/{service_account_id}",
        summary="Revoke a service account",
        status_code=204,
    )
    @requires("service_accounts:delete", id_param="service_account_id")
    async def revoke_account(service_account_id: str, request: Request) -> Response:
        account_id = values.identifier(service_account_id, "path.service_account_id")
        await server.check_authority(caller_of(request).principal)
        await _minting(server).revoke(account_id)
        await server.refresh_trust()
        return Response(status_code=204)


def _grantor(caller: Caller) -> tuple[Principal, Grantor]:
    if caller.principal is None or caller.grants is None:
        raise HTTPException(
            401,
            "JWT authentication is required to mint a service account.",
            headers={"www-authenticate": "Bearer"},
        )
    return caller.principal, Grantor(grants=caller.grants, principal=caller.principal)


def _minting(server: Server) -> Minting:
    policy = server.policy
    return Minting(
        server.default_db.trust(),
        admin_scope=DEFAULT_ADMIN_SCOPE if policy is None else policy.admin_scope,
        families=DEFAULT_FAMILIES if policy is None else policy.families,
    )


def _shown(minted: Minted) -> Response:
    return JSON({**service_account_view(minted.account), "token": minted.token.text}, 201)
