"""The client's address behind proxies: what ``X-Forwarded-For`` says, as far as it can be believed.

Each proxy adds, at the right end, the address that it was asked from. So the header is read from
the right, beginning with the peer of the connection: as long as an address is that of a trusted
proxy, the one to its left is believed. What stands further left was written by the client itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from licet.errors import ConfigurationError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FORWARDED_FOR = b"x-forwarded-for"
_FORWARDED_PROTO = b"x-forwarded-proto"
_SCHEMES = {
    "http": {b"http": "http", b"https": "https"},
    "websocket": {b"http": "ws", b"https": "wss"},
}
_MAX_HOPS = 20
_MAX_HOP_CHARS = 64
_KNOWN_ADDRESSES = 1024
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}").fullmatch


def proxy_networks(trusted_proxies: Sequence[str]) -> tuple[_Network, ...]:
    """The networks in which proxies are trusted.

    Args:
        trusted_proxies: addresses (``10.1.2.3``) and networks (``10.0.0.0/8``, ``fd00::/8``).

    Raises:
        ConfigurationError: one is neither, or names everybody.
    """
    if isinstance(trusted_proxies, str):
        raise ConfigurationError("trusted_proxies is a list, not one text")
    return tuple(_network(proxy) for proxy in trusted_proxies)


class ClientAddressMiddleware:
    """Puts the client's own address and scheme into the scope, where a trusted proxy names them.

    The address becomes the right-most of ``X-Forwarded-For`` that is no trusted proxy's; where
    something there is no address, the last one before it stays. The scheme becomes that of
    ``X-Forwarded-Proto``, if there is exactly one and it is ``http`` or ``https``. The headers of
    any other peer are not looked at.

    Args:
        app: what comes after.
        trusted_proxies: as ``proxy_networks`` takes them.

    Raises:
        ConfigurationError: one of them cannot be trusted.
    """

    def __init__(self, app: ASGIApp, trusted_proxies: Sequence[str]) -> None:
        self._app = app
        self._networks = proxy_networks(trusted_proxies)
        # Few peers, few clients at a time: reading an address costs more than all the rest.
        self._hop = lru_cache(_KNOWN_ADDRESSES)(self._read_hop)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Correct the scope and pass it on."""
        client = scope.get("client")
        if client is not None and self._is_proxy(client[0]):
            self._correct(scope)
        await self._app(scope, receive, send)

    def _is_proxy(self, peer: str) -> bool:
        hop = self._hop(peer)
        return hop is not None and hop[1]

    def _correct(self, scope: Scope) -> None:
        forwarded = []
        schemes = []
        for name, value in scope["headers"]:
            if name == _FORWARDED_FOR:
                forwarded.append(value)
            elif name == _FORWARDED_PROTO:
                schemes.append(value.strip().lower())
        client = self._client(b",".join(forwarded))
        if client is not None:
            scope["client"] = (client, 0)
        scheme = _SCHEMES[scope["type"]].get(schemes[0]) if len(schemes) == 1 else None
        if scheme is not None:
            scope["scheme"] = scheme

    def _client(self, forwarded: bytes) -> str | None:
        """The address of whoever the proxies speak for; None: they do not say."""
        client = None
        # What is left unsplit is no address: the way ends there.
        for text in reversed(forwarded.decode("latin-1").rsplit(",", _MAX_HOPS)):
            said = text.strip(" \t")
            hop = self._hop(said) if len(said) <= _MAX_HOP_CHARS else None
            if hop is None:
                break
            client, is_proxy = hop
            if not is_proxy:
                break
        return client

    def _read_hop(self, text: str) -> tuple[str, bool] | None:
        """An address in its usual form, and whether it is a trusted proxy's; None: it is none."""
        address = _address(text)
        if address is None:
            return None
        return str(address), any(address in network for network in self._networks)


def _network(proxy: str) -> _Network:
    try:
        network = ipaddress.ip_network(str(proxy))
    except ValueError as error:
        raise ConfigurationError(
            f"trusted_proxies: {proxy!r} is neither an address nor a network ({error})"
        ) from error
    if network.prefixlen == 0:
        raise ConfigurationError(
            f"trusted_proxies: {proxy!r} would let everybody choose their address"
        )
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        raise ConfigurationError(f"trusted_proxies: write {proxy!r} as an IPv4 network")
    return network


def _address(text: str) -> _Address | None:
    """An address, bare or with brackets and port. IPv4 within IPv6 is IPv4; no zones."""
    found = _WITH_PORT(text)
    bare = text if found is None else found[1] or found[2]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return None if address.scope_id else address.ipv4_mapped or address
