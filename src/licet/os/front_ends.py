"""Front ends: the folders that FastAPI serves where no route matches (``app.frontend(...)``).

They stand beside the router's routes, in no list that is public. No rule can be bound to them, so
they are the administrator's alone; the route table names them all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi.routing import APIRouter


def front_end_templates(router: APIRouter) -> Iterator[str]:
    """The templates of a router's front ends, those of included routers too."""
    candidate: Any
    # FastAPI has no public way to ask; a test adds one of each sort, so a change is noticed.
    for candidate in router._iter_low_priority_routes():  # noqa: SLF001 - as said
        group = getattr(candidate, "original_route", candidate)
        prefix: str = getattr(candidate, "frontend_prefix", "")
        for route in getattr(group, "routes", ()):
            yield f"{prefix}{route.path}".rstrip("/") + "/{path:path}"
