"""Loopback only: the whole protection of a server that runs without authorization.

Such a server answers this machine and nobody else. Three ways lead around a mere look at the
client's address, and each is closed: a proxy on this machine that speaks for others (its headers
give it away), a web page whose host name was rebound to 127.0.0.1 (the ``Host`` it sends), and a
web page that makes its browser send something across origins, which needs no preflight (the
``Origin`` and the ``Sec-Fetch-Site`` that the browser sends; for reading there is the latter only).

A proxy need not say that it is one. The commonest does not, unless it is told to: nginx sends its
own address as ``Host`` and no header of its own, but it spoke HTTP/1.0 for twenty years, which no
browser and no client library does. What tunnels bytes (``ssh -R``, ``socat``) cannot be told from
this machine: who sets one up needs authorization.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from licet.os.auditing import Auditing
from licet.os.denial import Denial
from licet.os.middleware.authentication import AUTHENTICATION_KEY
from licet.os.same_origin import is_same_origin

_PROXY_HEADERS = frozenset(
    (
        b"forwarded",
        b"via",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-server",
        b"x-real-ip",
        b"cf-connecting-ip",
        b"true-client-ip",
    )
)
# Of our own pages, or of whoever sits at the machine: an address typed in, a bookmark.
_OWN_SITES = frozenset((b"same-origin", b"none"))
_HOW_TO_OPEN = "Without authorization=True this server answers loopback clients only"


class LoopbackOnlyMiddleware:
    """Refuses, with 403, every request that may come from elsewhere than this machine.

    ``allowed_origins`` are the other origins whose pages the operator trusts (CORS); ``auditing``
    records what is refused.
    """

    def __init__(
        self, app: ASGIApp, *, auditing: Auditing, allowed_origins: Sequence[str] = ()
    ) -> None:
        self._app = app
        self._auditing = auditing
        self._allowed_origins = frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        # Authenticated already: JWTMiddleware stands around an app that was made without.
        if scope["type"] == "lifespan" or AUTHENTICATION_KEY in scope:
            await self._app(scope, receive, send)
            return
        reason = self._suspicion(scope)
        if reason is not None:
            denial = Denial(403, f"{_HOW_TO_OPEN}: {reason}")
            unrecorded = await self._auditing.record_denial(scope, denial, rule="loopback_only")
            await (unrecorded or denial).send(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _suspicion(self, scope: Scope) -> str | None:
        client = scope.get("client")
        if client is None or not _is_loopback_address(client[0]):
            return "the client's address is not a loopback address"
        if scope.get("http_version") == "1.0":
            return "a proxy may speak for the client (HTTP/1.0)"
        hosts: list[str] = []
        origins: list[str] = []
        sites: list[bytes] = []
        for name, value in scope["headers"]:
            if name in _PROXY_HEADERS:
                return f"a proxy speaks for the client ({name.decode('latin-1')})"
            if name == b"host":
                hosts.append(value.decode("latin-1"))
            elif name == b"origin":
                origins.append(value.decode("latin-1"))
            elif name == b"sec-fetch-site":
                sites.append(value)
        if len(hosts) != 1 or not _is_loopback_host(hosts[0]):
            return "the Host header does not name this machine"
        strangers = [origin for origin in origins if origin not in self._allowed_origins]
        is_allowed = bool(origins) and not strangers
        if not all(is_same_origin(origin, hosts[0]) for origin in strangers) or (
            not is_allowed and not _OWN_SITES.issuperset(sites)
        ):
            return "the request comes from a page of another origin"
        return None


def _is_loopback_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _is_loopback_host(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    if name is None:
        return False
    return name == "localhost" or name.endswith(".localhost") or _is_loopback_address(name)
