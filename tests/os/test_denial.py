from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.types import Message

from licet.os.denial import Denial


async def answers(denial: Denial, scope: dict[str, Any]) -> list[Message]:
    """What a refusal sends."""
    sent: list[Message] = []

    async def receive() -> Message:
        assert scope["type"] == "websocket", "the body of a refused request is not read"
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await denial.send({"headers": [], "path": "/agents", **scope}, receive, send)
    return sent


@pytest.mark.parametrize(
    ("denial", "status", "challenge"),
    [
        (Denial.no_credentials(), 401, b"Bearer"),
        (
            Denial.bad_credentials("it has expired"),
            401,
            b'Bearer error="invalid_token", error_description="it has expired"',
        ),
        (
            Denial.insufficient("no", ("agents:run", "x:read")),
            403,
            b'Bearer error="insufficient_scope", scope="agents:run x:read"',
        ),
        (Denial.undecided("the authorizer Broken failed"), 503, None),
        (Denial.absent(), 404, None),
    ],
)
async def test_a_refusal_on_the_wire(denial: Denial, status: int, challenge: bytes | None) -> None:
    start, body = await answers(denial, {"type": "http"})
    headers = dict(start["headers"])
    assert start["status"] == status
    assert headers.get(b"www-authenticate") == challenge
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"content-type"] == b"application/json"
    assert int(headers[b"content-length"]) == len(body["body"])
    assert json.loads(body["body"]) == {"detail": denial.detail}
    assert headers.get(b"retry-after") == (b"5" if status == 503 else None)


@pytest.mark.parametrize("reason", ['say "hi"', "back\\slash", "new\r\nX-Evil: 1", "grün", "\0"])
async def test_no_reason_can_break_out_of_its_header(reason: str) -> None:
    for denial in (Denial.bad_credentials(reason), Denial.insufficient("no", (reason,))):
        start, body = await answers(denial, {"type": "http"})
        challenge = dict(start["headers"])[b"www-authenticate"]
        assert challenge.count(b'"') == 4
        assert not set(b"\r\n\0\\") & set(challenge)
        assert json.loads(body["body"])["detail"]


@pytest.mark.parametrize(
    ("headers", "closes"),
    [
        ([], False),
        ([(b"content-length", b"0")], False),
        ([(b"content-length", b"10")], True),
        ([(b"transfer-encoding", b"chunked")], True),
    ],
)
async def test_a_connection_with_an_unread_body_is_closed(
    headers: list[tuple[bytes, bytes]],
    closes: bool,  # noqa: FBT001 - a case
) -> None:
    start, _ = await answers(Denial.absent(), {"type": "http", "headers": headers})
    assert (dict(start["headers"]).get(b"connection") == b"close") is closes


async def test_a_handshake_is_refused_as_http_where_the_server_can() -> None:
    scope = {"type": "websocket", "extensions": {"websocket.http.response": {}}}
    start, body = await answers(Denial.no_credentials(), scope)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert dict(start["headers"])[b"www-authenticate"] == b"Bearer"
    assert json.loads(body["body"]) == {"detail": "Authorization header missing"}


async def test_a_handshake_is_closed_where_the_server_cannot() -> None:
    (close,) = await answers(Denial.no_credentials(), {"type": "websocket"})
    assert close == {
        "type": "websocket.close",
        "code": 1008,
        "reason": "Authorization header missing",
    }
