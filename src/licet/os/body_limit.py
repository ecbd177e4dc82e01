"""Bodies have a limit: what announces more is refused unread, what turns out larger is cut off."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from licet.os.denial import Denial


class BodyTooLargeError(HTTPException):
    """More than the limit came in; raised where the body is read."""

    def __init__(self, max_body_bytes: int) -> None:
        super().__init__(413, _detail(max_body_bytes), headers={"connection": "close"})


async def limit_body(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, max_body_bytes: int
) -> None:
    """Call ``app`` with a ``receive`` that never brings more than ``max_body_bytes`` in all."""
    announced = _content_length(scope)
    if announced is not None and announced > max_body_bytes:
        await Denial(413, _detail(max_body_bytes)).send(scope, receive, send)
        return
    received_bytes = 0

    async def receive_limited() -> Message:
        nonlocal received_bytes
        message = await receive()
        if message["type"] == "http.request":
            received_bytes += len(message.get("body", b""))
            if received_bytes > max_body_bytes:
                raise BodyTooLargeError(max_body_bytes)
        return message

    await app(scope, receive_limited, send)


def _detail(max_body_bytes: int) -> str:
    return f"The request body is larger than {max_body_bytes} bytes"


def _content_length(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None
