"""JWTMiddleware: the chain for an app that is wired by hand.

    app.add_middleware(JWTMiddleware, verification_keys=[...], scope_mappings={...})

It is the same chain: tokens are verified, the app's own router matches, the decision falls on the
matched route before its body is read, and is recorded. What is not mapped is closed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from licet.audit.config import AuditConfig
from licet.authn.unverified import UnverifiedTokens, throwaway_secret
from licet.authz.authorizer import Authorizer
from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.errors import ConfigurationError
from licet.os.config import AuthorizationConfig, Settings
from licet.os.hand_wired import Guarded, guard_own_app
from licet.os.middleware.authentication import AuthenticationMiddleware
from licet.os.middleware.client_address import ClientAddressMiddleware
from licet.os.middleware.loopback import LoopbackOnlyMiddleware
from licet.os.middleware.request_id import RequestIdMiddleware

logger = logging.getLogger(__name__)


class JWTMiddleware:
    """Guards every route of the FastAPI app that it is added to; also WebSockets, also mounts.

    Args:
        app: what comes after.
        id: the audience of tokens, where ``audience`` says nothing.
        validate: False: signatures are not looked at. Then only this machine is answered.
        authorization: there to be refused as False: who may what is what this is for.
        authorizers: asked beside the scopes.
        audit: how decisions are recorded; in ``db`` when absent.
        db: where revocations, service accounts and audit records are. In memory when absent: of
            what another process revokes, this one hears nothing.
        settings: limits and times.
        user_isolation: as AgentOS has it, whose app this may be.
        config: the settings of ``AuthorizationConfig``, by their names.

    What cannot be meant (an unknown setting, one that would open a door, a rule that binds to no
    route) refuses to start: the app is made here, and looked at when it starts.
    """

    def __init__(
        self,
        app: ASGIApp,
        /,
        *,
        id: str = "agent-os",
        validate: bool = True,
        authorization: bool = True,
        authorizers: Sequence[Authorizer] = (),
        audit: AuditConfig | None = None,
        db: Db | None = None,
        settings: Settings | None = None,
        user_isolation: bool = True,
        **config: Any,
    ) -> None:
        self._given = config
        self._authorization = authorization
        self._user_isolation = user_isolation
        self._id = id
        self._inner = app
        self._validate = validate
        self._authorizers = tuple(authorizers)
        self._audit = audit
        self._db = db
        self._settings = settings
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard the app at its first call; then authenticate and pass on."""
        if self._app is None:
            try:
                self._app = self._chain(self._guarded(scope.get("app")))
            except ConfigurationError as error:
                if scope["type"] == "lifespan":
                    # Else some servers think that the app has no lifespan, and start.
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
        await self._app(scope, receive, send)

    def _chain(self, guarded: Guarded) -> ASGIApp:
        trust = guarded.trust
        chain: ASGIApp = AuthenticationMiddleware(
            self._inner, trust.authenticator, header=trust.header, cookies=trust.cookies
        )
        if not self._validate:
            logger.warning("SIGNATURES ARE NOT LOOKED AT: only loopback clients are answered")
            chain = LoopbackOnlyMiddleware(chain, auditing=guarded.auditing)
        if self._settings is not None and self._settings.trusted_proxies:
            chain = ClientAddressMiddleware(chain, self._settings.trusted_proxies)
        return RequestIdMiddleware(chain)

    def _guarded(self, app: object) -> Guarded:
        if not isinstance(app, FastAPI):
            raise ConfigurationError(
                "JWTMiddleware guards a FastAPI app: app.add_middleware(JWTMiddleware, ...)"
            )
        config = self._config()
        verifier = None if self._validate else UnverifiedTokens
        agent_os = getattr(app.state, "agent_os", None)
        if agent_os is None:
            return guard_own_app(
                app,
                config=config,
                os_id=self._id,
                db=self._db if self._db is not None else InMemoryDb(),
                settings=self._settings or Settings(),
                authorizers=self._authorizers,
                audit=self._audit or AuditConfig(),
                verifier=verifier,
            )
        if self._db is not None or self._audit is not None or self._settings is not None:
            raise ConfigurationError(
                "this app is an AgentOS's: give db, audit and settings to AgentOS(...)"
            )
        trust = agent_os.authorize(
            config,
            authorizers=self._authorizers,
            user_isolation=self._user_isolation,
            verifier=verifier,
        )
        return Guarded(trust, agent_os.auditing)

    def _config(self) -> AuthorizationConfig:
        if not self._authorization:
            raise ConfigurationError(
                "authorization=False would let every token do everything: map the routes that any "
                'verified caller may use to an empty list, scope_mappings={"GET /x": []}'
            )
        given, known = self._given, {setting.name for setting in fields(AuthorizationConfig)}
        unknown = sorted(set(given) - known)
        if unknown:
            raise ConfigurationError(
                f"JWTMiddleware has no setting {', '.join(map(repr, unknown))}; "
                "it takes those of AuthorizationConfig"
            )
        if not self._validate:
            if self._settings is not None and self._settings.trusted_proxies:
                raise ConfigurationError("validate=False answers this machine, and no proxies")
            if given.get("issuers"):
                raise ConfigurationError("validate=False takes one issuer: leave issuers out")
            # An issuer has a key; this one verifies nothing.
            given = {**given, "verification_keys": [throwaway_secret()], "algorithm": "HS256"}
        return AuthorizationConfig(**given)
