"""Authentication: who is asking? Answers for every request, refuses none: the gate does that."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from licet.authn.base import Authenticator, Credentials

AUTHENTICATION_KEY = "licet.authentication"


class AuthenticationMiddleware:
    """Puts one of the authenticator's three answers into the scope of each request."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate and pass on."""
        if scope["type"] != "lifespan":
            presented = Credentials(
                authorization=tuple(v for k, v in scope["headers"] if k == b"authorization")
            )
            scope[AUTHENTICATION_KEY] = self._authenticator.authenticate(presented)
        await self._app(scope, receive, send)
