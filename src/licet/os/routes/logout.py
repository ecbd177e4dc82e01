"""``/oidc/backchannel-logout``: an issuer tells that somebody has logged out.

Source: OpenID Connect Back-Channel Logout 1.0, sections 2.5 to 2.8.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from licet.authn.logout_token import LogoutTokenVerifier
from licet.authn.refusal import KeysUnavailableError, TokenRefusedError
from licet.errors import InvalidInputError
from licet.os.rules import public
from licet.os.schemas import LOGOUT_BODY
from licet.os.server import Server
from licet.os.urlencoded import urlencoded_fields
from licet.os.views import JSON

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024
"""What a form may bring that anybody may send: a token has 16 KiB, before it is escaped."""
_FORM = "application/x-www-form-urlencoded"
_NOT_STORED = {"cache-control": "no-store"}
_RETRY_AFTER_SECONDS = "5"
_UNAVAILABLE = 503


def logout_routes(server: Server) -> APIRouter:
    """The route, where an issuer's settings say who we are there; else none."""
    router = APIRouter(tags=["Logout"])
    if server.trust is None or server.trust.logout is None:
        return router
    verifier = server.trust.logout

    @router.post(
        "/oidc/backchannel-logout",
        summary="An issuer's logout token ends what its subject or session has going",
        openapi_extra=LOGOUT_BODY,
    )
    @public
    async def backchannel_logout(request: Request) -> Response:
        refused = await _log_out(server, verifier, request)
        # The route is public: what it decides, it decides by itself. Where that cannot be recorded
        # it stands all the same: somebody who has logged out stays out.
        await server.auditing.record_public(
            request.scope,
            rule="logout_token",
            status=None if refused is None else refused.status,
            reason="somebody has logged out" if refused is None else refused.reason,
        )
        if refused is None:
            return Response(status_code=200, headers=_NOT_STORED)
        return refused.answer()

    return router


@dataclass(frozen=True, slots=True)
class _Refused:
    """``unread``: of the body; the connection is closed, else a server may go on to drain it."""

    reason: str
    status: int = 400
    unread: bool = False

    def answer(self) -> Response:
        logger.info("refused a logout token (%d): %s", self.status, self.reason)
        away = self.status == _UNAVAILABLE
        error = "temporarily_unavailable" if away else "invalid_request"
        answer = JSON({"error": error, "error_description": self.reason}, self.status)
        answer.headers.update(_NOT_STORED)
        if away:
            answer.headers["retry-after"] = _RETRY_AFTER_SECONDS
        if self.unread:
            answer.headers["connection"] = "close"
        return answer


async def _log_out(
    server: Server, verifier: LogoutTokenVerifier, request: Request
) -> _Refused | None:
    """End what the logout token ends; or why not."""
    if not _is_form(request):
        return _Refused(f"the body is not {_FORM}", unread=True)
    body = await _body(request)
    if body is None:
        return _Refused(f"the body is larger than {MAX_BODY_BYTES} bytes", 413, unread=True)
    try:
        logout = await verifier.verify(await _logout_token(body))
    except KeysUnavailableError as away:
        return _Refused(str(away), _UNAVAILABLE)
    except TokenRefusedError as refused:
        return _Refused(str(refused))
    if not await server.revoking.log_out(logout):
        return _Refused("the logout token was used before (jti)")
    await server.refresh_trust()
    return None


def _is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == _FORM


async def _body(request: Request) -> bytes | None:
    """The body; None: it is too large, and the rest was not read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


async def _logout_token(body: bytes) -> bytes:
    try:
        fields = await urlencoded_fields(body)
    except InvalidInputError as error:
        raise TokenRefusedError(f"the body is not {error.expected}") from None
    found = [value for name, value in fields if name == "logout_token"]
    if len(found) != 1:
        raise TokenRefusedError("the form has not one logout_token")
    try:
        return found[0].encode("ascii")
    except UnicodeEncodeError:
        raise TokenRefusedError("the logout_token is no token") from None
