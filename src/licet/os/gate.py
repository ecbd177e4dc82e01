"""The gate: stands in the router's dispatch and decides on the route that the router matched.

It sees every route, whatever way it was added and whenever, and it decides before the request's
body is read. What it lets through is exactly the route that it decided on.
"""

from __future__ import annotations

from functools import partial

from fastapi.routing import APIRouter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from licet.log_context import PRINCIPAL
from licet.os.auditing import Auditing
from licet.os.body_limit import limit_body
from licet.os.caller import SCOPE_KEY
from licet.os.denial import Denial
from licet.os.judgement import Judge
from licet.os.observer import UNOBSERVED_SERVER, Observer
from licet.os.open_requests import OpenRequests


class Gate:
    """Wraps a router's dispatch.

    Args:
        router: whose routes are guarded.
        judge: decides.
        auditing: records what was decided.
        open_requests: where what is being answered is noted.
        max_body_bytes: what a request may bring; more is refused before it is read.
        observer: looks on while it is decided.
    """

    def __init__(
        self,
        router: APIRouter,
        judge: Judge,
        *,
        auditing: Auditing,
        open_requests: OpenRequests,
        max_body_bytes: int,
        observer: Observer = UNOBSERVED_SERVER,
    ) -> None:
        self._router = router
        self._judge = judge
        self._auditing = auditing
        self._open_requests = open_requests
        self._max_body_bytes = max_body_bytes
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._router.app(scope, receive, send)
            return
        scope.setdefault("router", self._router)
        with self._observer.decision(scope) as observed:
            judgement = await self._judge.judge(scope)
            observed.came_to(judgement)
        principal = judgement.principal
        # Always: in a mounted app, what was known of the request before is another decision's.
        PRINCIPAL.set(None if principal is None else principal.owner)
        refusal = await self._auditing.record(scope, judgement)
        answer = refusal or judgement.answer
        if isinstance(answer, Denial):
            await answer.send(scope, receive, send)
            return
        matched = judgement.matched
        inner = scope if matched is None else matched.scope
        inner[SCOPE_KEY] = answer
        if scope["type"] == "http" and scope["method"] == "HEAD":
            send = _without_body(send)
        app: ASGIApp = self._router.app if matched is None else matched.serve
        if scope["type"] != "websocket":
            app = partial(limit_body, app, max_body_bytes=self._max_body_bytes)
        if answer.principal is None:
            await app(inner, receive, send)
        else:
            await self._open_requests.serve(app, answer.principal, inner, receive, send)


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
