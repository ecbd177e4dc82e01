"""The way of a request: the one place where the order is written.

request
  → CORS                  browsers of allowed origins may read the answers, also the refusals
  → loopback only         where authorization is off: this machine, and nobody else
  → authenticate          who? the answer is written into the scope; revoked is not authenticated
  → the app's own middleware
  → the gate, in the router's dispatch:
        match             the router's own routes, in its own order
        authorize         may they? on the matched route, before the body is read
        note              what is open ends when the principal is revoked
        limit the body
  → the route
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from licet.os.gate import Gate
from licet.os.middleware.authentication import AuthenticationMiddleware
from licet.os.middleware.loopback import LoopbackOnlyMiddleware
from licet.os.open_requests import OpenRequests
from licet.os.policy import Policy
from licet.os.table import RouteTable
from licet.os.trust import Trust


def protect(
    app: FastAPI,
    *,
    table: RouteTable,
    policy: Policy | None,
    trust: Trust | None,
    open_requests: OpenRequests,
    cors_allowed_origins: Sequence[str],
    max_body_bytes: int,
) -> None:
    """Put the chain around an app. Without policy and trust: no authorization, loopback only."""
    # Innermost first: each middleware that is added stands around those before it.
    app.router.middleware_stack = Gate(
        app.router, table, policy, open_requests=open_requests, max_body_bytes=max_body_bytes
    )
    if trust is None:
        app.add_middleware(LoopbackOnlyMiddleware, allowed_origins=cors_allowed_origins)
    else:
        app.add_middleware(
            AuthenticationMiddleware,
            authenticator=trust.authenticator,
            header=trust.header,
            cookies=trust.cookies,
        )
    if cors_allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_allowed_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["*"],
            # Bearer tokens travel in a header: no cookie is needed, and so none is allowed.
            allow_credentials=False,
            max_age=600,
        )
