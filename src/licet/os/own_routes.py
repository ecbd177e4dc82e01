"""For routes of one's own: who asks, and dependencies that the chain makes superfluous.

    @app.get("/reports")
    @requires("reports:read")
    async def reports(principal: Annotated[Principal, Depends(current_principal)]): ...

It works on endpoints of an ``APIRouter`` and on WebSockets, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, HTTPException, WebSocketException
from starlette.requests import HTTPConnection

from licet.authn.principal import Principal
from licet.os.caller import SCOPE_KEY, Caller

_POLICY_VIOLATION = 1008


async def current_principal(connection: HTTPConnection) -> Principal:
    """A FastAPI dependency: the verified principal of this request or WebSocket.

    Raises:
        HTTPException: 401, where nobody was authenticated: on a public route, or where
            authorization is off.
        WebSocketException: the same, of a WebSocket.
    """
    caller = connection.scope.get(SCOPE_KEY)
    if isinstance(caller, Caller) and caller.principal is not None:
        return caller.principal
    if connection.scope["type"] == "websocket":
        raise WebSocketException(_POLICY_VIOLATION, "nobody was authenticated")
    raise HTTPException(401, "Nobody was authenticated", headers={"www-authenticate": "Bearer"})


def replace_dependency(
    app: FastAPI,
    dependency: Callable[..., Any],
    value: Callable[[Principal], Any] | None = None,
) -> None:
    """Let the chain answer for a dependency that verified callers so far.

    Endpoints keep their signatures; what they get is made from the principal that the chain has
    verified. Where it has verified nobody (a public route), the answer is 401: what the dependency
    kept closed does not open.

    Args:
        app: whose endpoints depend on it.
        dependency: the function that ``Depends`` was given.
        value: makes of the principal what it returned; None: the principal itself.
    """

    async def replacement(connection: HTTPConnection) -> Any:
        principal = await current_principal(connection)
        return principal if value is None else value(principal)

    app.dependency_overrides[dependency] = replacement
