"""Whether this process lives, and whether requests may be sent to it: for who watches over it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from licet.os.readiness import readiness
from licet.os.rules import public
from licet.os.server import Server
from licet.os.views import JSON

_RETRY_AFTER_SECONDS = "1"
_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {
        "description": "A part cannot do its work at present, and is named; or the server stops",
        "content": {"application/json": {}},
    }
}


def health_routes(server: Server) -> APIRouter:
    """``/health/live`` and ``/health/ready``."""
    router = APIRouter(tags=["Core"])

    @router.get("/health/live", summary="The process answers")
    @public
    async def live() -> Response:
        return _uncached(JSON({"status": "live"}))

    @router.get(
        "/health/ready", summary="The server can do what is asked of it", responses=_NOT_READY
    )
    @public
    async def ready() -> Response:
        found = await readiness(databases=server.databases, runs=server.runs, trust=server.trust)
        if found.ready:
            return _uncached(JSON({"status": "ready", **found.parts}))
        answer = JSON({"status": "not ready", **found.parts}, status_code=503)
        answer.headers["retry-after"] = _RETRY_AFTER_SECONDS
        return _uncached(answer)

    return router


def _uncached(answer: Response) -> Response:
    answer.headers["cache-control"] = "no-store"
    return answer
