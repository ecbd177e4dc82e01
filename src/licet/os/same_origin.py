"""Same origin: whether a request comes from a page of this server, as the browser tells it.

A browser says so in two headers that no page can write: ``Sec-Fetch-Site`` (Fetch Metadata) and
``Origin`` (RFC 6454). Where it says neither, nothing is known.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import Scope

_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
_ENCRYPTED = frozenset(("https", "wss"))


def is_forgeable(scope: Scope) -> bool:
    """Whether a page of another site may have made a browser send this, with our cookies.

    Reading (RFC 9110 §9.2.1) is harmless: the page cannot see the answer. A WebSocket handshake is
    not: it is a GET, and what it opens can be used by the page.
    """
    if scope["type"] == "http" and scope["method"] in _SAFE_METHODS:
        return False
    sites: list[str] = []
    origins: list[str] = []
    hosts: list[str] = []
    wanted = {b"sec-fetch-site": sites, b"origin": origins, b"host": hosts}
    for name, value in scope["headers"]:
        if name in wanted:
            wanted[name].append(value.decode("latin-1"))
    if sites:
        # The browser's own word, also where a proxy has changed the Host header.
        return sites != ["same-origin"]
    if len(origins) != 1 or len(hosts) != 1:
        return True
    return not is_same_origin(origins[0], hosts[0], encrypted=scope.get("scheme") in _ENCRYPTED)


def is_same_origin(origin: str, host: str, *, encrypted: bool = False) -> bool:
    """Whether an ``Origin`` is that of a ``Host``. ``encrypted``: of its https pages only."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if encrypted and parts.scheme != "https":
        return False
    return bool(parts.netloc) and parts.netloc.lower() == host.lower()
