"""The app of an AgentOS: its routes, the gate in its router, the chain around it, and its life.

It is imported when an app is made: FastAPI and the routes are most of what importing Licet costs.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from licet.errors import ConfigurationError
from licet.os.adding import add_routes, open_docs
from licet.os.chain import guard, protect
from licet.os.config import AuthorizationConfig
from licet.os.explaining import Explainer
from licet.os.garbage import seldom_collected, uncollected
from licet.os.judgement import Judge
from licet.os.matching import Matcher
from licet.os.openapi import describe
from licet.os.problems import add_error_handlers
from licet.os.query_filter import keep_queries_out_of_the_log
from licet.os.routers import own_routers
from licet.os.server import Server
from licet.os.starting import check_durable, check_routes, start_parts
from licet.os.table import RouteTable

if TYPE_CHECKING:
    from licet.os.agent_os import AgentOS

logger = logging.getLogger(__name__)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]]
"""What runs around the life of an app; what it yields becomes the app's state."""


class ServedApp:
    """The app of a server, and the rules by which it is guarded.

    Args:
        agent_os: whose app it is.
        server: what its routes work with.
        config: which rules are mapped.
        base_app: an app of the user's own to serve from.
        lifespan: entered when the app starts, left when it stops.

    Attributes:
        app: to be served.
        table: every route of the app with its rule.

    Raises:
        ConfigurationError: a route of Licet declares no permission, or ``base_app`` is served
            already.
    """

    def __init__(
        self,
        agent_os: AgentOS,
        server: Server,
        *,
        config: AuthorizationConfig,
        base_app: FastAPI | None,
        lifespan: Lifespan | None,
    ) -> None:
        self._server = server
        self._lifespan = lifespan
        self.app = _new_app(server) if base_app is None else _not_served_yet(base_app)
        if server.settings.docs:
            open_docs(self.app)
        self.table = _table(self.app, config)
        add_routes(self.app, own_routers(server), self.table)
        add_error_handlers(self.app)
        describe(self.app, self.table, admin_scope=config.admin_scope)
        self.guard(config)
        protect(
            self.app,
            trust=server.trust,
            auditing=server.auditing,
            cors_allowed_origins=agent_os.cors_allowed_origins,
            trusted_proxies=server.settings.trusted_proxies,
            observer=server.observer,
            load=server.load,
        )
        # Starlette types "state or nothing" as a union of two lifespans.
        self.app.router.lifespan_context = self._wrapped(self.app.router.lifespan_context)  # type: ignore[assignment]
        self.app.state.agent_os = agent_os

    def guard(self, config: AuthorizationConfig) -> None:
        """Put the gate into the app's router, with the rules as they are now."""
        server = self._server
        self.table = _table(self.app, config)
        judge = Judge(Matcher(self.app.router), self.table, server.policy)
        if server.policy is not None and server.trust is not None:
            server.explainer = Explainer(judge, server.policy, server.trust)
        guard(
            self.app,
            judge=judge,
            auditing=server.auditing,
            open_requests=server.open_requests,
            max_body_bytes=server.settings.max_body_bytes,
            observer=server.observer,
        )

    def _wrapped(self, inner: Lifespan) -> Lifespan:
        """The app's own lifespan, inside the server's: databases open first and close last."""

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any] | None]:
            # Here, in each process that serves, by whatever means it is served.
            keep_queries_out_of_the_log()
            server = self._server
            check_routes(self.table, server.policy, server.trust)
            check_durable(server.agents.values(), server.db_of)
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(server.observer.serving(server.refresh_load))
                with uncollected():
                    await start_parts(
                        stack, dbs=server.dbs.values(), trust=server.trust, auditing=server.auditing
                    )
                for agent in server.agents.values():
                    stack.push_async_callback(agent.model.aclose)
                state = await stack.enter_async_context(inner(app))
                if self._lifespan is not None:
                    more = await stack.enter_async_context(self._lifespan(app))
                    state = {**(state or {}), **(more or {})} or None
                # Runs end first: their tools may need what the lifespans have opened.
                await stack.enter_async_context(server.running())
                stack.enter_context(seldom_collected())
                yield state

        return lifespan


def _new_app(server: Server) -> FastAPI:
    docs = server.settings.docs
    return FastAPI(
        title=server.name or "Licet",
        description=server.description or "",
        version=server.version,
        docs_url="/docs" if docs else None,
        redoc_url="/redoc" if docs else None,
        openapi_url="/openapi.json" if docs else None,
        redirect_slashes=False,
        # FastAPI's own would begin before the chain, trust every client's trace, and tell whatever
        # provider the process has of queries and of the texts of errors.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )


def _not_served_yet(base_app: FastAPI) -> FastAPI:
    if hasattr(base_app.state, "agent_os"):
        # Only one gate can stand in a router: the routes of the other would lose theirs.
        raise ConfigurationError(
            "base_app serves another AgentOS already; give each of them an app of its own"
        )
    return base_app


def _table(app: FastAPI, config: AuthorizationConfig) -> RouteTable:
    return RouteTable(
        app.router, scope_mappings=config.scope_mappings, public_paths=config.open_paths
    )
