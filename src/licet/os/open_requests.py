"""OpenRequests: what is being answered, so that it ends when whoever asked is revoked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from licet.authn.principal import Principal
from licet.os.denial import Denial

logger = logging.getLogger(__name__)

_POLICY_VIOLATION = 1008
_EVENT_STREAM = b"text/event-stream"


class OpenRequests:
    """The requests and WebSockets of verified principals that are open in this process.

    ``lost`` says why a principal's authority is gone; None: it is not.
    """

    def __init__(self, lost: Callable[[Principal | None], str | None]) -> None:
        self._lost = lost
        self._open: set[OpenRequest] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def serve(
        self, app: ASGIApp, principal: Principal, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let an app answer, unless and until the principal is revoked."""
        reason = self._lost(principal)
        if reason is not None:
            await Denial.bad_credentials(reason).send(scope, receive, send)
            return
        request = OpenRequest(principal, scope, send)
        self._open.add(request)
        try:
            await app(scope, receive, request.send)
        except asyncio.CancelledError:
            if request.cut is None:
                raise
            request.task.uncancel()
            await request.end(receive)
        finally:
            self._open.discard(request)

    def revoked(self) -> Sequence[OpenRequest]:
        """Those of principals whose authority is gone."""
        return [request for request in self._open if self._lost(request.principal) is not None]

    def cut(self, requests: Sequence[OpenRequest]) -> int:
        """End these, where they have not ended meanwhile. Answers how many there were."""
        ended = 0
        for request in requests:
            reason = self._lost(request.principal)
            if reason is not None and request.cut is None and request in self._open:
                request.cut = reason
                request.task.cancel()
                ended += 1
        return ended


class OpenRequest:
    """One of them. ``cut`` is the reason, once it was ended from outside."""

    def __init__(self, principal: Principal, scope: Scope, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - servers answer each request in a task
        self.principal = principal
        self.task = task
        self.cut: str | None = None
        self._scope = scope
        self._send = send
        self._started: Message | None = None
        self._ended = False

    async def send(self, message: Message) -> None:
        """Pass on, and remember how far the answer has come."""
        kind = message["type"]
        if kind in {"http.response.start", "websocket.accept"}:
            self._started = message
        elif (kind == "http.response.body" and not message.get("more_body")) or (
            kind == "websocket.close"
        ):
            self._ended = True
        await self._send(message)

    async def end(self, receive: Receive) -> None:
        """End an answer that was cut, as well as its protocol allows."""
        reason = self.cut or ""
        logger.warning("ended %s %r: %s", _method(self._scope), self._scope["path"], reason)
        if self._ended:
            return
        if self._started is None:
            await Denial.bad_credentials(reason).send(self._scope, receive, self._send)
        elif self._scope["type"] == "websocket":
            await self._send(
                {"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason}
            )
        elif _is_event_stream(self._started):
            await self._send({"type": "http.response.body", "body": b""})
        # Anything else stays unfinished, so that nobody takes it for the whole: the server closes
        # the connection.


def _method(scope: Scope) -> str:
    return str(scope.get("method", "WEBSOCKET"))


def _is_event_stream(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(_EVENT_STREAM)
        for name, value in start.get("headers", ())
    )
