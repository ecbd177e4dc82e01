"""Adding the routes of Licet to an app, before the app's own."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from starlette.routing import Route

from licet.errors import ConfigurationError
from licet.os.rules import public
from licet.os.table import RouteTable

logger = logging.getLogger(__name__)


def open_docs(app: FastAPI) -> None:
    """Declare FastAPI's own documentation routes public: clients find the interface there."""
    for route in app.routes:
        if isinstance(route, Route) and route.endpoint.__module__ == FastAPI.__module__:
            public(route.endpoint)


def add_routes(app: FastAPI, routers: Sequence[APIRouter], table: RouteTable) -> None:
    """Add the routes of Licet, before the app's own; each says what it asks of its caller."""
    routes = [route for router in routers for route in router.routes]
    own = APIRouter(routes=routes)
    mine = {(entry.methods[0], entry.template): entry for entry in RouteTable(own).entries()}
    for entry in mine.values():
        if entry.rule is None:
            raise ConfigurationError(
                f"{entry.methods[0]} {entry.template} declares no permission; "
                "use @requires or @public"
            )
    for entry in table.entries():
        if (entry.methods[0], entry.template) in mine:
            logger.warning(
                "%s %s of base_app is not reached: Licet has a route of that name",
                entry.methods[0],
                entry.template,
            )
    # Put beside the app's routes, not below: one match finds them. And before them: a page for
    # everything else (``/{path:path}``, a mount at ``/``) must not swallow the server.
    app.router.routes[:0] = routes
    closed = {e.template for e in mine.values() if e.rule is not None and not e.rule.public}
    for entry in table.entries():
        if (
            entry.rule is not None
            and entry.rule.source == "public_paths"
            and entry.template in closed
        ):
            raise ConfigurationError(
                f"public_paths: {entry.template!r} is a route of Licet and stays closed"
            )
