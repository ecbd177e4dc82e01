"""AgentOS: agents, served over HTTP, under one policy."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRouter
from starlette.routing import Route

from licet.agent.agent import Agent
from licet.db.base import Db
from licet.errors import ConfigurationError
from licet.os.chain import protect
from licet.os.config import AuthorizationConfig, Settings
from licet.os.open_requests import OpenRequests
from licet.os.openapi import describe
from licet.os.policy import Policy, build_policy
from licet.os.problems import add_error_handlers
from licet.os.query_filter import keep_queries_out_of_the_log
from licet.os.routes.agent_runs import agent_run_routes
from licet.os.routes.agents import agent_routes
from licet.os.routes.core import core_routes
from licet.os.routes.logout import logout_routes
from licet.os.routes.revocations import revocation_routes
from licet.os.routes.service_accounts import service_account_routes
from licet.os.routes.sessions import session_routes
from licet.os.rules import public
from licet.os.server import Server, agents_by_id
from licet.os.serving import serve
from licet.os.table import RouteTable
from licet.os.trust import Trust, build_trust
from licet.runs.foreground import ForegroundRuns, nobody_loses

logger = logging.getLogger(__name__)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]]
"""What runs around the life of an app; what it yields becomes the app's state."""

_DEFAULT_DB_FILE = ".licet/licet.db"
_ROUTES = (
    core_routes,
    agent_routes,
    agent_run_routes,
    session_routes,
    service_account_routes,
    revocation_routes,
    logout_routes,
)


class AgentOS:
    """A server for agents.

    Args:
        id: what tokens name as audience; made from ``name`` when absent.
        name: for people.
        description: for people.
        version: of what you serve.
        db: where agents without a database of their own keep theirs; a SQLite file in ``.licet/``
            when absent.
        agents: what is served.
        authorization: verify tokens and decide from them. Without it the server answers loopback
            clients only.
        authorization_config: how tokens are verified.
        user_isolation: everybody reaches their own sessions and runs only. Turned off, whoever
            holds a scope reaches everybody's.
        cors_allowed_origins: web pages of these origins may use the server; none by default.
        base_app: an app of your own to serve from. Its routes come after Licet's, and are closed
            until they are mapped.
        lifespan: entered when the app starts, left when it stops.
        settings: limits and times.

    Raises:
        ConfigurationError: a setting would open a door, or cannot be used.
    """

    def __init__(
        self,
        *,
        agents: Sequence[Agent] = (),
        id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        version: str = "1.0.0",
        db: Db | None = None,
        authorization: bool = False,
        authorization_config: AuthorizationConfig | None = None,
        user_isolation: bool = True,
        cors_allowed_origins: Sequence[str] = (),
        base_app: FastAPI | None = None,
        lifespan: Lifespan | None = None,
        settings: Settings | None = None,
    ) -> None:
        if authorization_config is not None and not authorization:
            raise ConfigurationError(
                "authorization_config was given, but authorization is False: "
                "set authorization=True, or leave the config out"
            )
        if "*" in cors_allowed_origins:
            raise ConfigurationError("cors_allowed_origins: name each origin; '*' is not taken")
        if isinstance(cors_allowed_origins, str):
            raise ConfigurationError("cors_allowed_origins is a list, not one text")
        self.id = id or re.sub(r"[^a-z0-9]+", "-", (name or "").lower()).strip("-") or "agent-os"
        self._config = authorization_config or AuthorizationConfig()
        self._cors_allowed_origins = tuple(cors_allowed_origins)
        self._base_app = base_app
        self._lifespan = lifespan
        self._app: FastAPI | None = None
        default_db = db if db is not None else _default_db(agents)
        settings = settings or Settings()
        self._trust = self._build_trust(default_db, settings) if authorization else None
        self._policy = (
            build_policy(
                self._config,
                issuers=[issuer for issuer, _ in self._trust.issuers],
                user_isolation=user_isolation,
            )
            if self._trust is not None
            else None
        )
        lost = self._trust.authority.lost if self._trust is not None else nobody_loses
        self._server = Server(
            id=self.id,
            name=name,
            description=description,
            version=version,
            agents=agents_by_id(agents),
            default_db=default_db,
            settings=settings,
            policy=self._policy,
            trust=self._trust,
            runs=ForegroundRuns(lost),
            open_requests=OpenRequests(lost),
        )

    def _build_trust(self, db: Db, settings: Settings) -> Trust:
        return build_trust(
            self._config,
            os_id=self.id,
            db=db,
            settings=settings,
            on_tick=self._end_revoked,
        )

    def _end_revoked(self) -> None:
        self._server.end_revoked()

    @property
    def policy(self) -> Policy | None:
        """Who decides; None: authorization is off."""
        return self._policy

    @property
    def trust(self) -> Trust | None:
        """Whose tokens are taken; None: authorization is off."""
        return self._trust

    @property
    def db(self) -> Db:
        """Where revocations and service accounts are, and the sessions of agents without a Db."""
        return self._server.default_db

    def get_app(self) -> FastAPI:
        """The app, made once. Routes that are added to it later are guarded like all others.

        Raises:
            ConfigurationError: a route of Licet declares no permission.
        """
        if self._app is None:
            self._app = self._build()
        return self._app

    def route_table(self) -> RouteTable:
        """Every route of the app with what it asks of its caller, as it is now."""
        self.get_app()
        return self._table

    def serve(
        self,
        app: str | FastAPI | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 7777,
        reload: bool = False,
        workers: int | None = None,
        access_log: bool = True,
    ) -> None:
        """Serve until stopped.

        Args:
            app: ``"module:attribute"``, which ``reload`` and ``workers`` need, or an app.
            host: the address to listen on.
            port: the TCP port.
            reload: start anew whenever a file changes.
            workers: how many processes.
            access_log: a line for each request.
        """
        serve(
            self.get_app() if app is None else app,
            host=host,
            port=port,
            reload=reload,
            workers=workers,
            access_log=access_log,
            settings=self._server.settings,
        )

    def _build(self) -> FastAPI:
        server, docs = self._server, self._server.settings.docs
        if self._base_app is not None and hasattr(self._base_app.state, "agent_os"):
            # Only one gate can stand in a router: the routes of the other would lose theirs.
            raise ConfigurationError(
                "base_app serves another AgentOS already; give each of them an app of its own"
            )
        app = self._base_app or FastAPI(
            title=server.name or "Licet",
            description=server.description or "",
            version=server.version,
            docs_url="/docs" if docs else None,
            redoc_url="/redoc" if docs else None,
            openapi_url="/openapi.json" if docs else None,
            redirect_slashes=False,
        )
        if docs:
            _open_docs(app)
        self._table = RouteTable(
            app.router,
            scope_mappings=self._config.scope_mappings,
            public_paths=self._config.open_paths,
        )
        _add(app, [make(server) for make in _ROUTES], self._table)
        add_error_handlers(app)
        describe(app, self._table, admin_scope=self._config.admin_scope)
        protect(
            app,
            table=self._table,
            policy=self._policy,
            trust=self._trust,
            open_requests=server.open_requests,
            cors_allowed_origins=self._cors_allowed_origins,
            max_body_bytes=server.settings.max_body_bytes,
        )
        # Starlette types "state or nothing" as a union of two lifespans.
        app.router.lifespan_context = self._wrapped(app.router.lifespan_context)  # type: ignore[assignment]
        app.state.agent_os = self
        if self._policy is None:
            logger.warning(
                "AUTHORIZATION IS OFF: %r answers loopback clients only. "
                "Set authorization=True to serve anybody else.",
                self.id,
            )
        return app

    def _wrapped(self, inner: Lifespan) -> Lifespan:
        """The app's own lifespan, inside the server's: databases open first and close last."""

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any] | None]:
            # Here, in each process that serves, by whatever means it is served.
            keep_queries_out_of_the_log()
            unbound = self._table.unbound()
            if unbound:
                raise ConfigurationError(
                    f"scope_mappings and public_paths name routes that do not exist: "
                    f"{', '.join(unbound)}"
                )
            server = self._server
            async with AsyncExitStack() as stack:
                for db in server.dbs.values():
                    await db.open()
                    stack.push_async_callback(db.close)
                if server.trust is not None:
                    stack.push_async_callback(server.trust.close)
                    await server.trust.start()
                for agent in server.agents.values():
                    stack.push_async_callback(agent.model.aclose)
                state = await stack.enter_async_context(inner(app))
                if self._lifespan is not None:
                    more = await stack.enter_async_context(self._lifespan(app))
                    state = {**(state or {}), **(more or {})} or None
                # Runs end first: their tools may need what the lifespans have opened.
                stack.push_async_callback(
                    server.runs.shut_down, grace_seconds=server.settings.shutdown_grace_seconds
                )
                yield state

        return lifespan


def _open_docs(app: FastAPI) -> None:
    """Declare FastAPI's own documentation routes public: clients find the interface there."""
    for route in app.routes:
        if isinstance(route, Route) and route.endpoint.__module__ == FastAPI.__module__:
            public(route.endpoint)


def _add(app: FastAPI, routers: Sequence[APIRouter], table: RouteTable) -> None:
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


def _default_db(agents: Sequence[Agent]) -> Db:
    """The agents' own database where they share one; else a file beside the program."""
    own = {agent.db.id: agent.db for agent in agents if agent.db is not None}
    if len(own) == 1 and all(agent.db is not None for agent in agents):
        return next(iter(own.values()))
    from licet.db.sqlite import SqliteDb

    return SqliteDb(db_file=_DEFAULT_DB_FILE)
