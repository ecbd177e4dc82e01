"""One fetch over HTTP, bounded in every way: address, redirects, size, time, freshness.

What is fetched decides whose tokens are taken, so nothing but the configured host is believed, and
only over https; http is for providers on this machine.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from licet.authn.key_fetching import KeyFetching
from licet.errors import ConfigurationError, LicetError

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from multidict import MultiMapping

MAX_BODY_BYTES = 1024 * 1024
MAX_REDIRECTS = 3
_DIGITS = 10
_MAX_HEADER_CHARS = 1024
_OK, _NOT_MODIFIED = 200, 304
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class FetchError(LicetError):
    """It could not be fetched; the message says from where, and why."""

    code = "fetch"


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer.

    Attributes:
        body: None: it is still what ``etag`` stood for.
        fresh_seconds: how long it is good.
        etag: what it calls itself.
        age_seconds: how long ago it was given, where somebody in between kept it (RFC 9111 §5.1).
        dated_at: what it says of when that was, in epoch seconds (RFC 9110 §6.6.1).
    """

    body: bytes | None
    fresh_seconds: float
    etag: str | None = None
    age_seconds: float = 0.0
    dated_at: float | None = None


def check_url(url: str, setting: str) -> None:
    """Refuse an address that keys must not come from. ``setting`` names it in the message.

    Raises:
        ConfigurationError: not https (http on this machine), or with a password in it.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError(f"{setting} is no address") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{setting} has a user or a password in it: it would be logged")
    if not host or parts.scheme not in {"https", "http"}:
        raise ConfigurationError(f"{setting} is not of the form 'https://host/path'")
    if parts.scheme == "http" and not is_loopback(url):
        raise ConfigurationError(
            f"{setting} {shown(url)!r} is not https: whoever stands in between could give keys of "
            "their own; http is taken of this machine only"
        )


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine, without asking anybody: names go to a name server."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """An address as messages show it: without its query."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


async def fetch(url: str, *, limits: KeyFetching, etag: str | None = None) -> Fetched:
    """Fetch a document. ``etag``: of the one that is known already (RFC 9110 §13.1.2).

    Raises:
        FetchError: no answer in time, another status than 200, too large, or sent elsewhere.
    """
    import aiohttp

    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        # What grows when it is unpacked is not unpacked.
        auto_decompress=False,
        headers={"accept": "application/json", "accept-encoding": "identity"},
    )
    try:
        async with session, asyncio.timeout(limits.timeout_seconds):
            return await _followed(session, url, limits=limits, etag=etag)
    except TimeoutError:
        raise FetchError(
            f"{shown(url)}: no answer within {limits.timeout_seconds:g} seconds"
        ) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(f"{shown(url)}: {_in_words(error)}") from error


def _in_words(error: Exception) -> str:
    """What went wrong, without the text of the error: some hold the address with its query."""
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host has no address"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "it cannot be connected to"
    return type(error).__name__


async def _followed(
    session: ClientSession, url: str, *, limits: KeyFetching, etag: str | None
) -> Fetched:
    at = url
    headers = {} if etag is None else {"if-none-match": etag}
    for _ in range(MAX_REDIRECTS + 1):
        async with session.get(
            at, headers=headers, allow_redirects=False, proxy=_proxy(at)
        ) as response:
            if response.status not in _REDIRECTS:
                return await _read(response, url, limits=limits, etag=etag)
            at = _next(at, response.headers.get("location", ""))
    raise FetchError(f"{shown(url)}: more than {MAX_REDIRECTS} redirects")


def _proxy(url: str) -> str | None:
    """The proxy that the environment names. Not aiohttp's own way: that sends passwords, too."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if is_loopback(url) or proxy_bypass(parts.netloc) or proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def _next(at: str, location: str) -> str:
    found = urljoin(at, location)
    if not location or _origin(urlsplit(found)) != _origin(urlsplit(at)):
        raise FetchError(f"{shown(at)}: redirects to another host, which is not followed")
    return found


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None, str | None, str | None]:
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return (parts.scheme, parts.hostname, port, parts.username, parts.password)


async def _read(
    response: ClientResponse, url: str, *, limits: KeyFetching, etag: str | None
) -> Fetched:
    if response.status == _NOT_MODIFIED and etag is not None:
        return Fetched(None, freshness(response.headers, limits), etag)
    if response.status != _OK:
        raise FetchError(f"{shown(url)}: the answer's status is {response.status}")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise FetchError(f"{shown(url)}: the answer is compressed, which nobody asked for")
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise FetchError(f"{shown(url)}: the answer is larger than {MAX_BODY_BYTES} bytes")
    headers = response.headers
    return Fetched(
        bytes(body),
        freshness(headers, limits),
        headers.get("etag"),
        age_seconds=_whole(headers.get("age")) or 0.0,
        dated_at=_dated_at(headers.get("date", "")),
    )


def _dated_at(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def freshness(headers: MultiMapping[str], limits: KeyFetching) -> float:
    """How long an answer is fresh, in seconds (RFC 9111 §4.2), within the limits."""
    seconds = _stated(headers)
    if seconds is None:
        seconds = limits.default_fresh_seconds
    seconds -= _whole(headers.get("age")) or 0.0
    return min(max(seconds, limits.min_fresh_seconds), limits.max_fresh_seconds)


def _stated(headers: MultiMapping[str]) -> float | None:
    control = ", ".join(headers.getall("cache-control", []))
    if len(control) > _MAX_HEADER_CHARS:
        # Nobody means anything by so much; RFC 9111 §4.2.1: what makes no sense is stale.
        return 0.0
    directives = _directives(control)
    if "no-store" in directives or "no-cache" in directives:
        return 0.0
    max_age = _whole(directives.get("max-age"))
    if max_age is not None or "expires" not in headers:
        return max_age
    try:
        expires = parsedate_to_datetime(headers["expires"])
        return (expires - parsedate_to_datetime(headers["date"])).total_seconds()
    except (KeyError, ValueError, TypeError, OverflowError):
        # RFC 9111 §5.3: what is no date, such as 0, has expired.
        return 0.0


def _directives(text: str) -> dict[str, str]:
    """Names, in lower case, and values (RFC 9111 §5.2). In one pass, however it is written."""
    parts = text.split('"')
    # What stands between quotes separates nothing.
    parts[1::2] = [quoted.replace(",", " ").replace("=", " ") for quoted in parts[1::2]]
    pairs = (directive.partition("=") for directive in "".join(parts).split(","))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _whole(text: str | None) -> float | None:
    if not text or not text.isascii() or not text.isdigit():
        return None
    # RFC 9111 §1.2.2: what is too large counts as the largest.
    return float(text[:_DIGITS]) if len(text) <= _DIGITS else 2.0**31
