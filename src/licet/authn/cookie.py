"""The token that a browser keeps in a cookie (RFC 6265), and the danger that comes with it.

A browser sends its cookies with every request, also with those that a page of another site makes it
send. So a token in a cookie counts on requests that change something, and on WebSocket handshakes,
only if the browser says that they come from a page of ours.
"""

from __future__ import annotations

import re

from licet.authn.base import Authentication, BadCredentials, Credentials, NoCredentials
from licet.authn.bearer import TokenAuthenticator
from licet.errors import ConfigurationError

# RFC 6265 §4.1.1, RFC 9110 §5.6.2.
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")


class CookieAuthenticator:
    """Takes the token in the cookie of that name to a token authenticator.

    Raises:
        ConfigurationError: no cookie can have that name.
    """

    def __init__(self, tokens: TokenAuthenticator, *, name: str) -> None:
        self._tokens = tokens
        self._name = _checked_name(name)

    async def authenticate(self, credentials: Credentials) -> Authentication:
        """Who presents the token."""
        found = cookies_named(self._name, credentials.cookies)
        if not found:
            return NoCredentials()
        if len(found) > 1:
            # A neighbour under the same domain can set one beside ours: which one is meant?
            return BadCredentials("several cookies hold a token", "several_credentials")
        if credentials.forgeable:
            return BadCredentials(
                "a token in a cookie needs an Origin or Sec-Fetch-Site header that names this "
                "server's own pages",
                "cross_site",
            )
        return await self._tokens.authenticate_token(found[0])


class OneCredential:
    """Refuses requests that bring a token in two ways at once (RFC 6750 §2); knows no other.

    Raises:
        ConfigurationError: no cookie can have that name.
    """

    def __init__(self, *, cookie_name: str) -> None:
        self._cookie_name = _checked_name(cookie_name)

    async def authenticate(self, credentials: Credentials) -> Authentication:
        """Bad credentials if there are two, else none that this one knows."""
        if credentials.authorization and cookies_named(self._cookie_name, credentials.cookies):
            return BadCredentials(
                "a token in the header and another in a cookie; send one", "several_credentials"
            )
        return NoCredentials()


def cookies_named(name: bytes, headers: tuple[bytes, ...]) -> list[bytes]:
    """The values of all cookies of that name. An empty one is what a deleted cookie leaves."""
    found = []
    for header in headers:
        for pair in header.split(b";"):
            key, _, value = pair.strip(b" \t").partition(b"=")
            if key == name and value:
                found.append(value)
    return found


def _checked_name(name: str) -> bytes:
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"no cookie can have the name {name!r}; see RFC 6265 §4.1.1")
    return name.encode()
