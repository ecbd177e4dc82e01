"""``/telemetry/metrics``: the numbers of this process, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Response

from licet.os.rules import requires
from licet.os.server import Server


def telemetry_routes(server: Server) -> APIRouter:
    """``/telemetry/metrics``."""
    router = APIRouter(tags=["Telemetry"])

    @router.get(
        "/telemetry/metrics",
        summary="The metrics of the process that answers, as Prometheus reads them",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            404: {"description": "Telemetry is off"},
        },
    )
    @requires("telemetry:read")
    async def metrics() -> Response:
        await server.refresh_load()
        exposition = server.observer.exposition()
        if exposition is None:
            raise HTTPException(404, "No metrics are kept: AgentOS(telemetry=Telemetry()) does so")
        return Response(exposition.content, media_type=exposition.media_type)

    return router
