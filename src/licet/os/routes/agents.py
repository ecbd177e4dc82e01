"""The agents that are served, as far as the caller may see them."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from licet.authz.permission import Permission
from licet.os.caller import caller_of
from licet.os.direct_route import DirectRoute
from licet.os.rules import requires
from licet.os.server import Server
from licet.os.views import JSON, agent_view

READ = Permission("agents", "read")


def agent_routes(server: Server) -> APIRouter:
    """``/agents`` and ``/agents/{agent_id}``."""
    router = APIRouter(tags=["Agents"], route_class=DirectRoute)
    # Agents do not change while the server runs: each is encoded once.
    encoded = {
        agent.id: JSON(agent_view(agent, db_id=server.db_of(agent).id)).body
        for agent in server.agents.values()
    }
    everything = b"[" + b",".join(encoded.values()) + b"]"

    @router.get("/agents", summary="List agents")
    @requires("agents:read", listing=True)
    async def list_agents(request: Request) -> Response:
        shown = await server.visible(caller_of(request), READ, encoded)
        if len(shown) == len(encoded):
            return JSON(everything)
        return JSON(b"[" + b",".join(b for i, b in encoded.items() if i in shown) + b"]")

    @router.get("/agents/{agent_id}", summary="One agent")
    @requires("agents:read", id_param="agent_id")
    async def get_agent(agent_id: str) -> Response:
        return JSON(encoded[server.agent(agent_id).id])

    return router
