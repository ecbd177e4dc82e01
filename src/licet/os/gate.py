"""The gate: stands in the router's dispatch and decides on the route that the router matched.

It sees every route, whatever way it was added and whenever, and it decides before the request's
body is read. What it lets through is exactly the route that it decided on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi.routing import APIRouter
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from licet.authn.base import Authenticated, Authentication, BadCredentials, Unavailable
from licet.os.body_limit import limit_body
from licet.os.caller import ANYBODY, OPEN, SCOPE_KEY, Caller
from licet.os.denial import Denial
from licet.os.middleware.authentication import AUTHENTICATION_KEY
from licet.os.open_requests import OpenRequests
from licet.os.policy import Policy
from licet.os.table import RouteTable


@dataclass(frozen=True, slots=True)
class _Found:
    """A route and the scope in which it matched; ``full`` tells whether its method did too."""

    route: BaseRoute
    scope: Scope
    path_params: Mapping[str, Any]
    full: bool


class Gate:
    """Wraps a router's dispatch.

    Args:
        router: whose routes are guarded.
        table: their rules.
        policy: who decides; None: authorization is off, and every route is open.
        open_requests: where what is being answered is noted.
        max_body_bytes: what a request may bring; more is refused before it is read.
    """

    def __init__(
        self,
        router: APIRouter,
        table: RouteTable,
        policy: Policy | None,
        *,
        open_requests: OpenRequests,
        max_body_bytes: int,
    ) -> None:
        self._router = router
        self._table = table
        self._policy = policy
        self._open_requests = open_requests
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._router.app(scope, receive, send)
            return
        scope.setdefault("router", self._router)
        found = self._find(scope)
        answer = self._decide(scope, found)
        if isinstance(answer, Denial):
            await answer.send(scope, receive, send)
            return
        inner = scope if found is None else found.scope
        inner[SCOPE_KEY] = answer
        if scope["type"] == "http" and scope["method"] == "HEAD":
            send = _without_body(send)
        app = self._limited(self._router.app if found is None else found.route)
        if answer.principal is None:
            await app(inner, receive, send)
        else:
            await self._open_requests.serve(app, answer.principal, inner, receive, send)

    def _limited(self, target: ASGIApp) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                await target(scope, receive, send)
            else:
                limit = self._max_body_bytes
                await limit_body(target, scope, receive, send, max_body_bytes=limit)

        return app

    def _find(self, scope: Scope) -> _Found | None:
        """What the router would match. HEAD is answered by GET, and a final slash is tolerated."""
        found = self._match(scope)
        if found is not None and found.full:
            return found
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET"}
            found = self._match(scope) or found
        path: str = scope["path"]
        if found is None and path != "/":
            other = path[:-1] if path.endswith("/") else path + "/"
            found = self._match({**scope, "path": other})
        return found

    def _match(self, scope: Scope) -> _Found | None:
        partial = None
        for route in self._router.routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                return _Found(route, scope, child.get("path_params", {}), full=True)
            if match is Match.PARTIAL and partial is None:
                partial = _Found(route, scope, child.get("path_params", {}), full=False)
        return partial

    def _decide(self, scope: Scope, found: _Found | None) -> Caller | Denial:
        """The caller whose request may go on, or the refusal."""
        policy = self._policy
        if policy is None:
            return OPEN
        guarded = None
        if found is not None:
            guarded = self._table.guarded(found.route, found.scope, found.path_params)
            if guarded.rule is not None and guarded.rule.public:
                return ANYBODY
        caller = _identify(policy, scope[AUTHENTICATION_KEY])
        if isinstance(caller, Denial):
            return caller
        if found is None or guarded is None:
            # The router may still have something here (a front end's files): the admin's alone.
            return caller if caller.is_admin else Denial.absent()
        if not found.full:
            # A route class of one's own might serve the method all the same: it is not asked.
            return caller if caller.is_admin else Denial.wrong_method(guarded.methods)
        denial = policy.decide(
            caller,
            guarded.rule,
            template=guarded.template,
            method=found.scope.get("method", "WEBSOCKET"),
            path_params=guarded.path_params,
        )
        return denial or caller


def _identify(policy: Policy, answer: Authentication) -> Caller | Denial:
    if isinstance(answer, Authenticated):
        return policy.caller(answer.principal)
    if isinstance(answer, Unavailable):
        return Denial.unavailable(answer.reason)
    if isinstance(answer, BadCredentials):
        if answer.code == "cross_site":
            return Denial.cross_site(answer.reason)
        if answer.code == "too_many_failures":
            return Denial.too_many_failures(answer.reason)
        return Denial.bad_credentials(answer.reason)
    return Denial.no_credentials(policy.missing_credentials)


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
