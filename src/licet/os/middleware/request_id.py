"""Request ids: in with the request, through all that it does, and out with the answer.

``X-Request-ID`` has no standard; what is taken here is what proxies send: a UUID, a number in hex,
a name with a counter. Such an id may come from anybody: it says which lines belong together, never
who asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Iterable
from random import Random

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from licet.request_id import REQUEST_ID

REQUEST_ID_KEY = "licet.request_id"
"""Where the id stands in the ASGI scope."""

_HEADER = b"x-request-id"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch
_STARTS = frozenset(("http.response.start", "websocket.http.response.start", "websocket.accept"))


# Seeded by the system, which is asked once: it takes its time, and lets other threads go first.
_random = Random()  # noqa: S311 - tells requests apart, and is no secret
if hasattr(os, "register_at_fork"):
    # Processes that come of one would all give the same names.
    os.register_at_fork(after_in_child=_random.seed)


def _random_id() -> str:
    return f"{_random.getrandbits(128):032x}"


class RequestIdMiddleware:
    """Names each request, and says so in its answer.

    The client's own name for it is kept if there is exactly one and it is well-formed: 1 to 128 of
    ``A-Z a-z 0-9 . _ -``. Any other gets a new one: it would be written to logs and rows.

    The answer has the header exactly once. One that the app sets itself is replaced: there is one
    id, the one in the log. What the server answers without the app (a request that cannot be
    parsed, a handshake that the app closes unanswered) has none.

    Args:
        app: what comes after.
        new_id: makes ids for requests that bring none; 128 random bits when absent.
    """

    def __init__(self, app: ASGIApp, *, new_id: Callable[[], str] | None = None) -> None:
        self._app = app
        self._new_id = new_id or _random_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the request and pass it on."""
        # A request that has a name comes by for the second time: in a mounted app, for one.
        if scope["type"] == "lifespan" or REQUEST_ID_KEY in scope:
            await self._app(scope, receive, send)
            return
        request_id = _given(scope["headers"]) or self._new_id()
        header = (_HEADER, request_id.encode())

        # Not a coroutine of its own: a stream sends often, and only its first message is changed.
        def send_named(message: Message) -> Awaitable[None]:
            if message["type"] in _STARTS:
                headers = [h for h in message.get("headers", ()) if h[0].lower() != _HEADER]
                headers.append(header)
                message["headers"] = headers
            return send(message)

        scope[REQUEST_ID_KEY] = request_id
        token = REQUEST_ID.set(request_id)
        await self._app(scope, receive, send_named)
        # Not where the app has failed: what the server logs of that belongs to the request, too.
        REQUEST_ID.reset(token)


def _given(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The id that a request brings, if it can be kept."""
    found = None
    for name, value in headers:
        if name == _HEADER:
            # A second one makes it ill-formed: nobody can say which of them is meant.
            found = value if found is None else b""
    return found.decode() if found and _WELL_FORMED(found) else None
