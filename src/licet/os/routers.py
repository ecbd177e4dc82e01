"""Every router of Licet's own, in the order in which their routes are tried."""

from __future__ import annotations

from fastapi import APIRouter

from licet.os.routes.agent_runs import agent_run_routes
from licet.os.routes.agents import agent_routes
from licet.os.routes.approvals import approval_routes
from licet.os.routes.audit import audit_routes
from licet.os.routes.authz import authz_routes
from licet.os.routes.core import core_routes
from licet.os.routes.health import health_routes
from licet.os.routes.logout import logout_routes
from licet.os.routes.revocations import revocation_routes
from licet.os.routes.run_events import run_event_routes
from licet.os.routes.schedules import schedule_routes
from licet.os.routes.service_accounts import service_account_routes
from licet.os.routes.sessions import session_routes
from licet.os.routes.telemetry import telemetry_routes
from licet.os.server import Server

_MAKERS = (
    core_routes,
    health_routes,
    agent_routes,
    agent_run_routes,
    run_event_routes,
    session_routes,
    approval_routes,
    schedule_routes,
    service_account_routes,
    revocation_routes,
    logout_routes,
    audit_routes,
    authz_routes,
    telemetry_routes,
)


def own_routers(server: Server) -> list[APIRouter]:
    """The routers of a server."""
    return [make(server) for make in _MAKERS]
