"""AgentOS: agents, served over HTTP, under one policy."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from licet.agent.agent import Agent
from licet.audit.config import AuditConfig
from licet.authz.authorizer import Authorizer
from licet.db.base import Db
from licet.errors import ConfigurationError
from licet.os.auditing import Auditing, build_auditing
from licet.os.config import AuthorizationConfig, Settings
from licet.os.garbage import uncollected
from licet.os.log_config import LogFormat
from licet.os.observer import UNOBSERVED_SERVER, Telemetry
from licet.os.policy import Policy, build_policy
from licet.os.server import Server, agents_by_id
from licet.os.trust import Trust, VerifierOf, build_trust

if TYPE_CHECKING:
    from fastapi import FastAPI

    from licet.os.app import Lifespan, ServedApp
    from licet.os.explaining import Explainer
    from licet.os.table import RouteTable

logger = logging.getLogger(__name__)

_DEFAULT_DB_FILE = ".licet/licet.db"


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
        authorizers: asked beside the scopes: each may deny what these permit.
        audit: how decisions are recorded; in the server's database when absent.
        user_isolation: everybody reaches their own sessions and runs only. Turned off, whoever
            holds a scope reaches everybody's.
        cors_allowed_origins: web pages of these origins may use the server; none by default.
        base_app: an app of your own to serve from. Its routes come after Licet's, and are closed
            until they are mapped.
        lifespan: entered when the app starts, left when it stops.
        settings: limits and times.
        telemetry: traces and metrics, ``licet.telemetry.Telemetry()``; none by default.

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
        authorizers: Sequence[Authorizer] = (),
        audit: AuditConfig | None = None,
        user_isolation: bool = True,
        cors_allowed_origins: Sequence[str] = (),
        base_app: FastAPI | None = None,
        lifespan: Lifespan | None = None,
        settings: Settings | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        if authorization_config is not None and not authorization:
            raise ConfigurationError(
                "authorization_config was given, but authorization is False: "
                "set authorization=True, or leave the config out"
            )
        if authorizers and not authorization:
            raise ConfigurationError(
                "authorizers were given, but authorization is False: nobody would ask them"
            )
        if "*" in cors_allowed_origins:
            raise ConfigurationError("cors_allowed_origins: name each origin; '*' is not taken")
        if isinstance(cors_allowed_origins, str):
            raise ConfigurationError("cors_allowed_origins is a list, not one text")
        self.id = id or re.sub(r"[^a-z0-9]+", "-", (name or "").lower()).strip("-") or "agent-os"
        self._config = authorization_config or AuthorizationConfig()
        self.cors_allowed_origins = tuple(cors_allowed_origins)
        self._base_app = base_app
        self._lifespan = lifespan
        self._served: ServedApp | None = None
        default_db = db if db is not None else _default_db(agents)
        settings = settings or Settings()
        self._server = Server(
            id=self.id,
            name=name,
            description=description,
            version=version,
            agents=agents_by_id(agents),
            default_db=default_db,
            settings=settings,
            auditing=build_auditing(audit or AuditConfig(), db=default_db, os_id=self.id),
            observer=(
                UNOBSERVED_SERVER
                if telemetry is None
                else telemetry.observer(service_name=self.id, service_version=version)
            ),
        )
        if authorization:
            self._authorize(authorizers=authorizers, user_isolation=user_isolation)

    def authorize(
        self,
        config: AuthorizationConfig,
        *,
        authorizers: Sequence[Authorizer] = (),
        user_isolation: bool = True,
        verifier: VerifierOf | None = None,
    ) -> Trust:
        """Turn authorization on for an app that was made without it and has not started.

        ``JWTMiddleware`` does so. Answers whose tokens are taken from then on: whoever calls this
        authenticates with it, before the app is reached. ``verifier`` takes the place of the usual
        verification.

        Raises:
            ConfigurationError: authorization is on already, or a setting cannot be used.
        """
        if self._server.trust is not None:
            raise ConfigurationError(
                "this AgentOS has authorization=True: the chain is there, and a second one would "
                "ask for the same again; leave JWTMiddleware out"
            )
        served = self._made()
        self._config = config
        trust = self._authorize(
            authorizers=authorizers, user_isolation=user_isolation, verifier=verifier
        )
        served.guard(config)
        return trust

    def _authorize(
        self,
        *,
        authorizers: Sequence[Authorizer],
        user_isolation: bool,
        verifier: VerifierOf | None = None,
    ) -> Trust:
        server = self._server
        trust = build_trust(
            self._config,
            os_id=self.id,
            db=server.default_db,
            settings=server.settings,
            on_tick=server.end_revoked,
            verifier=verifier,
        )
        server.policy = build_policy(
            self._config, user_isolation=user_isolation, authorizers=authorizers
        )
        server.trust = trust
        server.authority_ttl = self._config.authority_ttl
        server.self_approval = self._config.self_approval
        return trust

    @property
    def policy(self) -> Policy | None:
        """Who decides; None: authorization is off. Knows what the routes ask for by now."""
        policy = self._server.policy
        if policy is not None and self._served is not None:
            for entry in self._served.table.entries():
                if entry.rule is not None:
                    policy.learn(entry.rule)
        return policy

    @property
    def trust(self) -> Trust | None:
        """Whose tokens are taken; None: authorization is off."""
        return self._server.trust

    @property
    def auditing(self) -> Auditing:
        """Records what is decided."""
        return self._server.auditing

    @property
    def db(self) -> Db:
        """Where revocations and service accounts are, and the sessions of agents without a Db."""
        return self._server.default_db

    @property
    def dbs(self) -> Mapping[str, Db]:
        """Every database by its id, the default one first."""
        return self._server.dbs

    @property
    def agents(self) -> Mapping[str, Agent]:
        """What is served, by id."""
        return self._server.agents

    @property
    def settings(self) -> Settings:
        """Limits and times."""
        return self._server.settings

    def get_app(self) -> FastAPI:
        """The app, made once. Routes that are added to it later are guarded like all others.

        Raises:
            ConfigurationError: a route of Licet declares no permission.
        """
        return self._made().app

    def route_table(self) -> RouteTable:
        """Every route of the app with what it asks of its caller, as it is now."""
        return self._made().table

    @property
    def explainer(self) -> Explainer | None:
        """Says what would be decided, and why; None: authorization is off."""
        self._made()
        return None if self.policy is None else self._server.explainer

    def serve(
        self,
        app: str | FastAPI | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 7777,
        reload: bool = False,
        workers: int | None = None,
        access_log: bool = True,
        log_format: LogFormat | None = None,
    ) -> None:
        """Serve until stopped.

        Args:
            app: ``"module:attribute"``, which ``reload`` and ``workers`` need, or an app.
            host: the address to listen on.
            port: the TCP port.
            reload: start anew whenever a file changes.
            workers: how many processes.
            access_log: a line for each request.
            log_format: lines for people (``text``) or for programs (``json``); that of the settings
                when absent.
        """
        from licet.os.serving import serve

        serve(
            self.get_app() if app is None else app,
            host=host,
            port=port,
            reload=reload,
            workers=workers,
            access_log=access_log,
            log_format=log_format or self._server.settings.log_format,
            settings=self._server.settings,
        )

    def _made(self) -> ServedApp:
        if self._served is None:
            with uncollected():
                # Whoever imports this class need not serve yet: FastAPI takes long to import.
                from licet.os.app import ServedApp

                self._served = ServedApp(
                    self,
                    self._server,
                    config=self._config,
                    base_app=self._base_app,
                    lifespan=self._lifespan,
                )
            if self._server.policy is None:
                logger.warning(
                    "AUTHORIZATION IS OFF: %r answers loopback clients only. "
                    "Set authorization=True to serve anybody else.",
                    self.id,
                )
        return self._served


def _default_db(agents: Sequence[Agent]) -> Db:
    """The agents' own database where they share one; else a file beside the program."""
    own = {agent.db.id: agent.db for agent in agents if agent.db is not None}
    if len(own) == 1 and all(agent.db is not None for agent in agents):
        return next(iter(own.values()))
    from licet.db.sqlite import SqliteDb

    return SqliteDb(db_file=_DEFAULT_DB_FILE)
