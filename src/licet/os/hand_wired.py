"""An app that is wired by hand: the gate in its router, the start in its lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from licet.audit.config import AuditConfig
from licet.authn.principal import Principal
from licet.authz.authorizer import Authorizer
from licet.db.base import Db
from licet.os.auditing import Auditing, build_auditing
from licet.os.chain import guard
from licet.os.config import AuthorizationConfig, Settings
from licet.os.judgement import Judge
from licet.os.matching import Matcher
from licet.os.observer import UNOBSERVED_SERVER
from licet.os.open_requests import OpenRequests
from licet.os.policy import build_policy
from licet.os.starting import check_routes, start_parts
from licet.os.table import RouteTable
from licet.os.trust import Trust, VerifierOf, build_trust


@dataclass(frozen=True, slots=True)
class Guarded:
    """What stands around a guarded app: who authenticates, and where decisions are recorded."""

    trust: Trust
    auditing: Auditing


def guard_own_app(
    app: FastAPI,
    *,
    config: AuthorizationConfig,
    os_id: str,
    db: Db,
    settings: Settings,
    authorizers: Sequence[Authorizer],
    audit: AuditConfig,
    verifier: VerifierOf | None,
) -> Guarded:
    """Guard every route of an app that has not started.

    Raises:
        ConfigurationError: a setting cannot be used. Rules that bind to no route refuse the start.
    """
    policy = build_policy(config, user_isolation=True, authorizers=authorizers)
    auditing = build_auditing(audit, db=db, os_id=os_id)

    def lost(principal: Principal | None) -> str | None:
        return trust.authority.lost(principal)

    open_requests = OpenRequests(lost)

    def end_revoked() -> None:
        open_requests.cut(open_requests.revoked())

    trust = build_trust(
        config, os_id=os_id, db=db, settings=settings, on_tick=end_revoked, verifier=verifier
    )
    table = RouteTable(
        app.router, scope_mappings=config.scope_mappings, public_paths=config.open_paths
    )
    guard(
        app,
        judge=Judge(Matcher(app.router), table, policy),
        auditing=auditing,
        open_requests=open_requests,
        max_body_bytes=settings.max_body_bytes,
        observer=UNOBSERVED_SERVER,
    )
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any] | None]:
        async with AsyncExitStack() as stack:
            await start_parts(stack, dbs=(db,), trust=trust, auditing=auditing)
            state = await stack.enter_async_context(inner(app))
            check_routes(table, policy, trust)
            yield state

    # Starlette types "state or nothing" as a union of two lifespans.
    app.router.lifespan_context = lifespan  # type: ignore[assignment]
    return Guarded(trust, auditing)
