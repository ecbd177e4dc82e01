"""How a refusal looks on the wire (RFC 6750 §3), for HTTP and for WebSocket handshakes."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from starlette.types import Receive, Scope, Send

logger = logging.getLogger(__name__)

_POLICY_VIOLATION = 1008
_LOGGED_PATH_CHARS = 200


@dataclass(frozen=True, slots=True)
class Denial:
    """An answer that refuses.

    ``challenge`` is the value of ``WWW-Authenticate``, if any; ``allow`` that of ``Allow``.
    ``reason`` is for the log and the audit trail, where it says more than the caller hears.
    """

    status: int
    detail: str
    challenge: str | None = None
    retry_after_seconds: int | None = None
    allow: str | None = None
    reason: str | None = None

    @classmethod
    def no_credentials(cls, detail: str = "Authorization header missing") -> Denial:
        """401 without an error code: nothing was presented (RFC 6750 §3.1)."""
        return cls(401, detail, "Bearer")

    @classmethod
    def bad_credentials(cls, reason: str) -> Denial:
        """401: what was presented does not verify."""
        text = _quotable(reason)
        return cls(
            401,
            f"Invalid token: {reason}",
            f'Bearer error="invalid_token", error_description="{text}"',
        )

    @classmethod
    def cross_site(cls, reason: str) -> Denial:
        """403: what was presented may have been sent by a page of another site."""
        return cls(403, reason)

    @classmethod
    def too_many_failures(cls, reason: str) -> Denial:
        """429: this client has guessed too often (RFC 6585 §4)."""
        return cls(429, reason[:1].upper() + reason[1:], retry_after_seconds=60)

    @classmethod
    def unavailable(cls, reason: str) -> Denial:
        """503: what the answer depends on cannot be read, so it is no."""
        return cls(503, f"{reason[:1].upper()}{reason[1:]}; try again", retry_after_seconds=5)

    @classmethod
    def insufficient(cls, detail: str, scopes: tuple[str, ...]) -> Denial:
        """403: the caller is known and holds too little."""
        scope = _quotable(" ".join(scopes))
        return cls(403, detail, f'Bearer error="insufficient_scope", scope="{scope}"')

    @classmethod
    def forbidden(cls, reason: str) -> Denial:
        """403: an authorizer says no, whatever the scopes. Why is not for the caller to read."""
        return cls(403, "Access denied", reason=reason)

    @classmethod
    def undecided(cls, reason: str) -> Denial:
        """503: the decision could not be made, so it is no."""
        return cls(
            503,
            "The decision could not be made; nothing was done",
            retry_after_seconds=5,
            reason=reason,
        )

    @classmethod
    def unrecorded(cls) -> Denial:
        """503: the audit record could not be written, without which nothing is done."""
        return cls(
            503, "The decision could not be recorded; nothing was done", retry_after_seconds=5
        )

    @classmethod
    def absent(cls) -> Denial:
        """404: there is nothing at this path."""
        return cls(404, "Not Found")

    @classmethod
    def wrong_method(cls, allowed: Iterable[str]) -> Denial:
        """405: the path is served for other methods (RFC 9110 §15.5.6)."""
        return cls(405, "Method Not Allowed", allow=", ".join(sorted(allowed)))

    async def send(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request with this refusal, without reading its body, and log it."""
        log_denial(scope, status=self.status, detail=self.reason or self.detail)
        if scope["type"] == "websocket":
            await self._refuse_handshake(scope, receive, send)
            return
        await send(
            {"type": "http.response.start", "status": self.status, "headers": self._headers(scope)}
        )
        await send({"type": "http.response.body", "body": self._body()})

    async def _refuse_handshake(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send(
                {"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": self.detail}
            )
            return
        headers = self._headers(scope)
        await send(
            {"type": "websocket.http.response.start", "status": self.status, "headers": headers}
        )
        await send({"type": "websocket.http.response.body", "body": self._body()})

    def _body(self) -> bytes:
        return msgspec.json.encode({"detail": self.detail})

    def _headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self._body())).encode()),
            (b"cache-control", b"no-store"),
        ]
        if self.challenge is not None:
            headers.append((b"www-authenticate", self.challenge.encode("latin-1", "replace")))
        if self.retry_after_seconds is not None:
            headers.append((b"retry-after", str(self.retry_after_seconds).encode()))
        if self.allow is not None:
            headers.append((b"allow", self.allow.encode("latin-1", "replace")))
        # The body was not read: without this a server may go on to drain it, however large.
        if scope["type"] == "http" and _has_body(scope):
            headers.append((b"connection", b"close"))
        return headers


def log_denial(scope: Scope, *, status: int, detail: str) -> None:
    """The one line that says in the log that a request was refused, and why."""
    client = scope.get("client")
    logger.info(
        "denied %d %s %r from %s: %s",
        status,
        scope.get("method", "WEBSOCKET"),
        scope["path"][:_LOGGED_PATH_CHARS],
        "nowhere" if client is None else client[0],
        _quotable(detail),
    )


def _has_body(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0"):
            return True
    return False


def _quotable(text: str) -> str:
    """What a quoted-string of a challenge may hold (RFC 6750 §3: no quote, no backslash)."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" for c in text)
