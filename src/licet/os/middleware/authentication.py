"""Authentication: who is asking? Answers for every request, refuses none: the gate does that."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Receive, Scope, Send

from licet.authn.base import Authenticator, Credentials
from licet.os.same_origin import is_forgeable

AUTHENTICATION_KEY = "licet.authentication"
ARRIVED_KEY = "licet.arrived_ns"
"""Where the scope says when the request arrived, in nanoseconds of the performance counter."""


class AuthenticationMiddleware:
    """Puts the authenticator's answer into the scope of each request.

    Args:
        app: what comes after.
        authenticator: who answers.
        header: the name of the header that carries tokens.
        cookies: whether a cookie may carry one, too.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator,
        *,
        header: str = "authorization",
        cookies: bool = False,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._header = header.lower().encode("latin-1")
        self._cookies = cookies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate and pass on."""
        if scope["type"] != "lifespan":
            scope[ARRIVED_KEY] = time.perf_counter_ns()
            presented = self._presented(scope)
            scope[AUTHENTICATION_KEY] = await self._authenticator.authenticate(presented)
        await self._app(scope, receive, send)

    def _presented(self, scope: Scope) -> Credentials:
        client = scope.get("client")
        headers = scope["headers"]
        return Credentials(
            authorization=tuple([v for k, v in headers if k == self._header]),
            cookies=tuple([v for k, v in headers if k == b"cookie"]) if self._cookies else (),
            forgeable=self._cookies and is_forgeable(scope),
            client=None if client is None else client[0],
        )
