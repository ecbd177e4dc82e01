"""OpenRequests: what is being answered, so that it ends when whoever asked is revoked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from licet.authn.principal import Principal
from licet.os.denial import Denial

logger = logging.getLogger(__name__)

_POLICY_VIOLATION = 1008
_EVENT_STREAM = b"text/event-stream"
# A client that does not read has this long for the last words.
_LAST_WORDS_SECONDS = 2.0
# An app that was cancelled has this long to end, before it is cancelled again.
_CANCEL_AGAIN_SECONDS = 0.5
_BROUGHT = frozenset(("http.request", "websocket.receive"))
_KEY = "licet.open_request"


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
        request = OpenRequest(principal, scope, receive, send)
        self._open.add(request)
        try:
            await app({**scope, _KEY: request}, partial(self._receive, request), request.send)
        except (asyncio.CancelledError, Exception) as error:
            # From the cut on it is the cut that counts, whatever the app made of it.
            if not request.was_cut_into(error):
                raise
        finally:
            self._open.discard(request)
        if request.cut is not None:
            await request.end()

    async def _receive(self, request: OpenRequest) -> Message:
        """What comes next, but nothing more of whoever was revoked meanwhile.

        Their requests are ended in any case, a moment later: by then a body that was held back
        might have come, and been acted on.
        """
        message = await request.receive()
        if message["type"] in _BROUGHT and self.cut((request,)):
            # Here the request ends if its own task asks. To another one the client has left.
            await asyncio.sleep(0)
        return message if request.cut is None else _left(message)

    def revoked(self) -> Sequence[OpenRequest]:
        """Those of principals whose authority is gone, and those that were cut and still go on."""
        return [
            request
            for request in self._open
            if request.cut is not None or self._lost(request.principal) is not None
        ]

    def cut(self, requests: Sequence[OpenRequest]) -> int:
        """End these, where they have not ended meanwhile. Answers how many are new among them."""
        ended = 0
        for request in requests:
            reason = request.cut or self._lost(request.principal)
            if reason is not None and request in self._open:
                ended += request.cut_off(reason)
        return ended


class OpenRequest:
    """One of them. ``cut`` is the reason, once it was ended from outside."""

    __slots__ = (
        "_cancelled",
        "_cancelled_at",
        "_cancelling_before",
        "_ended",
        "_receive",
        "_received",
        "_scope",
        "_send",
        "_started",
        "_task",
        "cut",
        "principal",
    )

    def __init__(self, principal: Principal, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - servers answer each request in a task
        self.principal = principal
        self.cut: str | None = None
        self._task = task
        self._cancelling_before = task.cancelling()
        self._cancelled_at = 0.0
        self._cancelled = 0
        self._scope = scope
        self._receive = receive
        self._send = send
        self._received = False
        self._started: Message | None = None
        self._ended = False

    async def receive(self) -> Message:
        """Hand on what the client sends."""
        message = await self._receive()
        self._received = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Pass on, and remember how far the answer has come. Once it was cut, nothing gets out.

        Not a coroutine of its own: a stream sends often.
        """
        if self.cut is not None:
            # Others get their turn, also when an app does nothing but send.
            return asyncio.sleep(0)
        kind = message["type"]
        if kind in {"http.response.start", "websocket.accept"}:
            self._started = message
        elif (kind == "http.response.body" and not message.get("more_body")) or (
            kind == "websocket.close"
        ):
            self._ended = True
        return self._send(message)

    def cut_off(self, reason: str) -> bool:
        """Cancel the app, again where it has swallowed that. Answers whether it is the first time.

        ``asyncio.wait_for`` does so in Python 3.11, where it meets a result.
        """
        first = self.cut is None
        self.cut = self.cut or reason
        now = asyncio.get_running_loop().time()
        if first or now - self._cancelled_at >= _CANCEL_AGAIN_SECONDS:
            self._cancelled_at = now
            self._cancelled += 1
            self._task.cancel()
        return first

    def was_cut_into(self, error: BaseException) -> bool:
        """Whether it comes of the cut that the app failed, and of nobody else."""
        if self.cut is None:
            return False
        if isinstance(error, asyncio.CancelledError):
            by_others = self._task.cancelling() - self._cancelling_before - self._cancelled
            return by_others <= 0
        logger.warning("%r failed when it was ended", self._scope["path"], exc_info=error)
        return True

    async def end(self) -> None:
        """End an answer that was cut, as well as its protocol allows.

        Raises:
            asyncio.CancelledError: the client takes no last words; so the server closes.
        """
        while self._task.cancelling() > self._cancelling_before:
            self._task.uncancel()
        reason = self.cut or ""
        logger.warning("ended %s %r: %s", _method(self._scope), self._scope["path"], reason)
        if self._ended:
            return
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._say(reason)
        except TimeoutError:
            raise asyncio.CancelledError(reason) from None

    async def _say(self, reason: str) -> None:
        if self._started is None:
            await Denial.bad_credentials(reason).send(self._scope, self._connect, self._send)
        elif self._scope["type"] == "websocket":
            await self._send(
                {"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason}
            )
        elif _is_event_stream(self._started):
            await self._send({"type": "http.response.body", "body": b""})
        # Anything else stays unfinished, so that nobody takes it for the whole: the server closes
        # the connection.

    async def _connect(self) -> Message:
        """What begins a handshake: there is one, which the app may have had already."""
        return {"type": "websocket.connect"} if self._received else await self._receive()


def was_cut(scope: Scope) -> bool:
    """Whether it is its own end that cancels the app of a request; else the server stops."""
    request = scope.get(_KEY)
    return isinstance(request, OpenRequest) and request.cut is not None


def _left(message: Message) -> Message:
    kind = "websocket.disconnect" if message["type"].startswith("websocket") else "http.disconnect"
    return {"type": kind}


def _method(scope: Scope) -> str:
    return str(scope.get("method", "WEBSOCKET"))


def _is_event_stream(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(_EVENT_STREAM)
        for name, value in start.get("headers", ())
    )
