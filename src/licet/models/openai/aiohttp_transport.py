"""The default transport: aiohttp, one session for each event loop."""

from __future__ import annotations

import asyncio
import functools
import io
import weakref
from collections.abc import AsyncGenerator, Mapping
from ipaddress import ip_address

from aiohttp import (
    ClientConnectorCertificateError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
)
from yarl import URL

from licet.errors import ConfigurationError
from licet.models.openai.endpoint import EndpointSettings
from licet.models.openai.failure import Failures
from licet.models.openai.transport import Body

_LARGE_BODY_BYTES = 1024 * 1024
"""Above, aiohttp wants a file-like body, which it sends in pieces."""


class AiohttpTransport:
    """Keep-alive connections, as many as there are concurrent requests.

    Keeps no cookies, follows no redirects, reads no ``.netrc``. Proxies are those of the
    environment (``HTTPS_PROXY``, ``NO_PROXY``…), read once for each host; never for loopback.
    A session is closed by ``aclose``, or else with its event loop or with the transport.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        *,
        timeout_seconds: float,
        connect_timeout_seconds: float,
    ) -> None:
        self._settings = settings
        self._timeout_seconds = timeout_seconds
        self._connect_timeout_seconds = connect_timeout_seconds
        self._sessions: dict[asyncio.AbstractEventLoop, ClientSession] = {}
        self._keepers: dict[asyncio.AbstractEventLoop, AsyncGenerator[None]] = {}

    async def open(self, body: Body) -> tuple[AiohttpReply, Failures]:
        """Send the request. See ``Transport.open``."""
        endpoint = self._settings.resolve()
        failures = Failures(self._settings.provider, endpoint.secrets)
        session = self._sessions.get(asyncio.get_running_loop()) or await self._start_session()
        large = len(body.encoded) > _LARGE_BODY_BYTES
        url = URL(endpoint.url)
        try:
            response = await session.post(
                url,
                data=io.BytesIO(body.encoded) if large else body.encoded,
                headers=endpoint.headers,
                allow_redirects=False,
                proxy=_environment_proxy(url.scheme, url.host or "", url.port or 0),
            )
        except (ClientError, OSError, UnicodeError) as error:
            # UnicodeError: a host name that IDNA cannot encode.
            raise _unreachable(failures, error, self._timeout_seconds) from error
        failures = failures.of_request(response.headers.get("x-request-id"))
        return AiohttpReply(response, failures, self._timeout_seconds), failures

    async def aclose(self) -> None:
        """Close the session of the running event loop; another loop's closes with that loop."""
        keeper = self._keepers.get(asyncio.get_running_loop())
        if keeper is not None:
            await keeper.aclose()

    async def _start_session(self) -> ClientSession:
        for stopped in [loop for loop in self._sessions if loop.is_closed()]:
            self.forget(stopped)
        loop = asyncio.get_running_loop()
        session = ClientSession(
            connector=TCPConnector(limit=0),
            cookie_jar=DummyCookieJar(),
            headers={"Accept": "application/json, text/event-stream"},
            timeout=ClientTimeout(
                total=None,
                connect=self._connect_timeout_seconds,
                sock_read=self._timeout_seconds,
            ),
        )
        # No await before both are stored: a second request must not start a second session.
        self._sessions[loop] = session
        keeper = self._keepers[loop] = _keep(weakref.ref(self), loop, session)
        await anext(keeper)
        return session

    def forget(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take no more notice of a loop's session."""
        self._sessions.pop(loop, None)
        self._keepers.pop(loop, None)


async def _keep(
    transport: weakref.ref[AiohttpTransport],
    loop: asyncio.AbstractEventLoop,
    session: ClientSession,
) -> AsyncGenerator[None]:
    """Closes the session in the end.

    asyncio ends a loop's generators before the loop, and those that nobody holds any more: so the
    session is closed with its loop, or when the transport is forgotten, which must therefore not
    be held from here.
    """
    try:
        yield
    finally:
        if (holder := transport()) is not None:
            holder.forget(loop)
        await session.close()


class AiohttpReply:
    """An answer that aiohttp reads. See ``Reply``."""

    __slots__ = ("_failures", "_response", "_timeout_seconds")

    def __init__(
        self, response: ClientResponse, failures: Failures, timeout_seconds: float
    ) -> None:
        self._response = response
        self._failures = failures
        self._timeout_seconds = timeout_seconds

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers; names in any case."""
        return self._response.headers

    async def read_piece(self) -> bytes:
        """The next bytes; empty at the end. See ``Reply.read_piece``."""
        try:
            return await self._response.content.readany()
        except (ClientError, OSError) as error:
            raise _unreachable(self._failures, error, self._timeout_seconds) from error

    async def aclose(self) -> None:
        """Back to the pool, or closed when content was left unread."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _unreachable(failures: Failures, error: Exception, timeout_seconds: float) -> Exception:
    if isinstance(error, ConnectionTimeoutError):
        return failures.unreachable("could not be connected to in time")
    if isinstance(error, TimeoutError):
        return failures.unreachable(f"sent nothing for {timeout_seconds:g} seconds")
    if isinstance(error, ClientConnectorCertificateError):
        return failures.unreachable("has a certificate that is not trusted", retryable=False)
    # The error's text names hosts and addresses: the message is for whoever runs the agent.
    return failures.unreachable(f"could not be reached, or broke off ({type(error).__name__})")


@functools.lru_cache(maxsize=256)
def _environment_proxy(scheme: str, host: str, port: int) -> str | None:
    """The proxy that the environment names for a host."""
    from urllib.request import getproxies, proxy_bypass

    if _is_loopback(host) or proxy_bypass(f"{host}:{port}") or proxy_bypass(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if proxy is not None and not proxy.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"the environment names a proxy for {scheme} that is no http proxy; "
            "hand in a client that can use it: OpenAIChat(client=AsyncOpenAI(http_client=...))"
        )
    return proxy


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
