"""What the server says of itself: ``/``, ``/health``, ``/info``, ``/config``, ``/models``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastapi import APIRouter, Request, Response

from licet._version import __version__
from licet.authz.permission import Permission
from licet.os.caller import caller_of
from licet.os.rules import public, requires
from licet.os.server import Server
from licet.os.views import JSON, iso, without_nulls


def core_routes(server: Server) -> APIRouter:
    """The routes that are about the server."""
    router = APIRouter(tags=["Core"])
    started = iso(int(server.instantiated_at * 1_000_000))

    @router.get("/", summary="Where things are")
    @public
    async def root() -> Response:
        docs = {"docs": "/docs"} if server.settings.docs else {}
        return JSON({"name": server.name or "Licet", "health": "/health", "info": "/info", **docs})

    @router.get("/health", summary="The server is up")
    @public
    async def health() -> Response:
        return JSON({"status": "ok", "instantiated_at": started})

    @router.get("/info", summary="What kind of server this is")
    @public
    async def info() -> Response:
        return JSON(
            without_nulls(
                {
                    "os_id": server.id,
                    "name": server.name,
                    "os_version": server.version,
                    "licet_version": __version__,
                    "agent_count": len(server.agents),
                    "team_count": 0,
                    "workflow_count": 0,
                    "mcp": {"enabled": False, "tool_run_endpoint": False},
                    "auth_mode": "none" if server.policy is None else "jwt",
                    "user_isolation": server.policy is not None and server.policy.user_isolation,
                }
            )
        )

    @router.get("/config", summary="What the server serves, as far as the caller may see it")
    @requires("config:read")
    async def config(request: Request) -> Response:
        visible = await server.visible(
            caller_of(request), Permission("agents", "read"), server.agents
        )
        return JSON(_config(server, visible))

    @router.get("/models", summary="The models that agents use")
    @requires("config:read")
    async def models() -> Response:
        return JSON(_models(server))

    return router


def _models(server: Server) -> list[dict[str, str]]:
    pairs = {(agent.model.id, agent.model.provider) for agent in server.agents.values()}
    return [{"id": model, "provider": provider} for model, provider in sorted(pairs)]


def _config(server: Server, visible: Collection[str]) -> dict[str, Any]:
    agents = [
        without_nulls(
            {
                "id": agent.id,
                "name": agent.name,
                "description": agent.description,
                "db_id": server.db_of(agent).id,
                "model": {"id": agent.model.id, "provider": agent.model.provider},
                "metadata": dict(agent.metadata) or None,
            }
        )
        for agent in server.agents.values()
        if agent.id in visible
    ]
    databases = [{"db_id": db, "domain_config": {"display_name": db}} for db in server.dbs]
    view = {
        "os_id": server.id,
        "name": server.name,
        "description": server.description,
        "available_models": _models(server),
        "databases": list(server.dbs),
        "session": {"display_name": "Sessions", "dbs": databases},
        "agents": agents,
        "teams": [],
        "workflows": [],
        "interfaces": [],
    }
    return {**without_nulls(view), "company": None}
