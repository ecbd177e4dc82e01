"""The way of a request: the one place where the order is written.

request
  → id                    a name for it: in the answer, in what it starts, and in the log
  → client's address      where proxies are trusted: the one that they speak for
  → headers for browsers  answers are what they say; pages are shown in no frame
  → the observer          where there is telemetry: the request's span begins; it changes nothing
  → unforeseen errors     Starlette's own answer: 500
  → CORS                  browsers of allowed origins may read the answers, also the refusals
  → loopback only         where authorization is off: this machine, and nobody else
  → authenticate          who? the answer is written into the scope; revoked is not authenticated
  → the app's own middleware
  → the gate, in the router's dispatch:
        match             the router's own routes, in its own order
        authorize         may they? on the matched route, before the body is read
        audit             what was decided is recorded, either way; if it cannot be: 503
        note              what is open ends when the principal is revoked
        limit the body
  → the route
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from licet.errors import ConfigurationError
from licet.os.auditing import Auditing
from licet.os.docs_pages import guard_docs
from licet.os.gate import Gate
from licet.os.judgement import Judge
from licet.os.middleware.authentication import AuthenticationMiddleware
from licet.os.middleware.client_address import ClientAddressMiddleware
from licet.os.middleware.html_headers import HtmlHeadersMiddleware
from licet.os.middleware.loopback import LoopbackOnlyMiddleware
from licet.os.middleware.request_id import RequestIdMiddleware
from licet.os.observer import Load, Observer
from licet.os.open_requests import OpenRequests
from licet.os.trust import Trust


def guard(
    app: FastAPI,
    *,
    judge: Judge,
    auditing: Auditing,
    open_requests: OpenRequests,
    max_body_bytes: int,
    observer: Observer,
) -> None:
    """Put the gate into an app's router: the innermost part of the chain."""
    app.router.middleware_stack = Gate(
        app.router,
        judge,
        auditing=auditing,
        open_requests=open_requests,
        max_body_bytes=max_body_bytes,
        observer=observer,
    )


def protect(
    app: FastAPI,
    *,
    trust: Trust | None,
    auditing: Auditing,
    cors_allowed_origins: Sequence[str],
    trusted_proxies: Sequence[str],
    observer: Observer,
    load: Callable[[], Load],
) -> None:
    """Put the chain around an app that is guarded. Without trust: loopback only.

    Raises:
        ConfigurationError: proxies are trusted where only loopback clients are answered.
    """
    if trust is None and trusted_proxies:
        raise ConfigurationError(
            "trusted_proxies needs authorization=True: without it the server answers loopback "
            "clients only, and none through a proxy"
        )
    # Innermost first: each middleware that is added stands around those before it.
    if trust is None:
        app.add_middleware(
            LoopbackOnlyMiddleware, auditing=auditing, allowed_origins=cors_allowed_origins
        )
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
    guard_docs(app)
    observer.watch(app, load)
    _stand_around(app, trusted_proxies)


def _stand_around(app: FastAPI, trusted_proxies: Sequence[str]) -> None:
    """Put around the whole app what every answer needs, also that to an unforeseen error.

    Middleware that is added to an app stands inside of what answers those.
    """
    build = app.build_middleware_stack

    def build_whole() -> ASGIApp:
        whole: ASGIApp = HtmlHeadersMiddleware(build())
        if trusted_proxies:
            whole = ClientAddressMiddleware(whole, trusted_proxies)
        return RequestIdMiddleware(whole)

    app.build_middleware_stack = build_whole  # type: ignore[method-assign]
