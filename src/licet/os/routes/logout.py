"""``/oidc/backchannel-logout``: an issuer tells that somebody has logged out.

Source: OpenID Connect Back-Channel Logout 1.0, sections 2.5 to 2.8.
"""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request, Response

from licet.authn.logout_token import LogoutToken, LogoutTokenVerifier
from licet.authn.refusal import KeysUnavailableError, TokenRefusedError
from licet.errors import StorageUnavailableError
from licet.os.revocations import Revoking
from licet.os.rules import public
from licet.os.schemas import LOGOUT_BODY
from licet.os.server import Server
from licet.os.urlencoded import urlencoded_fields
from licet.os.views import JSON

logger = logging.getLogger(__name__)

_FORM = "application/x-www-form-urlencoded"
_NOT_STORED = {"cache-control": "no-store"}


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
        try:
            logout = await _logout_token(request, verifier)
        except KeysUnavailableError as error:
            raise StorageUnavailableError(str(error)) from error
        except TokenRefusedError as refused:
            return _refused(str(refused))
        if not await Revoking(server.default_db.trust(), server.issuers).log_out(logout):
            return _refused("the logout token was used before (jti)")
        await server.refresh_trust()
        return Response(status_code=200, headers=_NOT_STORED)

    return router


async def _logout_token(request: Request, verifier: LogoutTokenVerifier) -> LogoutToken:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise TokenRefusedError(f"the body is not {_FORM}")
    found = [v for k, v in await urlencoded_fields(await request.body()) if k == "logout_token"]
    if len(found) != 1:
        raise TokenRefusedError("the form has not one logout_token")
    try:
        token = found[0].encode("ascii")
    except UnicodeEncodeError:
        raise TokenRefusedError("the logout_token is no token") from None
    return await verifier.verify(token)


def _refused(reason: str) -> Response:
    logger.info("refused a logout token: %s", reason)
    answer = JSON({"error": "invalid_request", "error_description": reason}, 400)
    answer.headers.update(_NOT_STORED)
    return answer
