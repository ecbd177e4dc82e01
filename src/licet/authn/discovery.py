"""Where an issuer's key set is: at a fixed address, or where the issuer says (OpenID Connect).

Source: OpenID Connect Discovery 1.0, sections 4 and 4.3.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from licet.authn.fetching import FetchError, check_url, fetch, is_loopback, shown
from licet.authn.jws import json_object
from licet.authn.key_fetching import KeyFetching
from licet.authn.refusal import TokenRefusedError
from licet.errors import ConfigurationError

logger = logging.getLogger(__name__)

_WELL_KNOWN = "/.well-known/openid-configuration"


class KeyLocation(Protocol):
    """Says where a key set is."""

    async def url(self) -> str:
        """The address of the key set.

        Raises:
            FetchError: it could not be found out.
        """

    def forget(self) -> None:
        """What was said last did not help: find it out anew the next time."""


class FixedLocation:
    """An address that is configured.

    Raises:
        ConfigurationError: keys must not come from there.
    """

    def __init__(self, url: str) -> None:
        check_url(url, "jwks_url")
        self._url = url

    async def url(self) -> str:
        """The address."""
        return self._url

    def forget(self) -> None:
        """It does not change."""


class DiscoveredLocation:
    """The address that an issuer's discovery document names.

    Args:
        issuer: who the issuer is; the document has to say the same.
        address: of the document; None: where the specification has it.
        limits: how it is fetched, and how long it is fresh.
        monotonic: gives seconds.

    Raises:
        ConfigurationError: the document must not come from there.
    """

    def __init__(
        self,
        issuer: str,
        *,
        address: str | None,
        limits: KeyFetching,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._address = address or issuer.removesuffix("/") + _WELL_KNOWN
        check_url(self._address, "issuer" if address is None else "discovery")
        self._limits = limits
        self._monotonic = monotonic
        self._url: str | None = None
        self._fresh_until = float("-inf")

    async def url(self) -> str:
        """The address of the key set, asked for again when the document is no longer fresh."""
        if self._url is not None and self._monotonic() < self._fresh_until:
            return self._url
        try:
            fetched = await fetch(self._address, limits=self._limits)
            self._url = self._keys_url(fetched.body or b"")
        except FetchError as error:
            if self._url is None:
                raise
            # The keys may be there all the same; whether they are, the next question tells.
            logger.warning("the key set is looked for where it was: %s", error)
            self._fresh_until = self._monotonic() + self._limits.min_fresh_seconds
        else:
            self._fresh_until = self._monotonic() + fetched.fresh_seconds
        return self._url

    def forget(self) -> None:
        """Ask for the document again the next time."""
        self._fresh_until = float("-inf")

    def _keys_url(self, body: bytes) -> str:
        address = shown(self._address)
        try:
            document = json_object(body, "document")
        except TokenRefusedError as error:
            raise FetchError(f"{address}: {error}") from None
        if document.get("issuer") != self._issuer:
            raise FetchError(
                f"{address}: the document is of another issuer than {self._issuer!r}; "
                "it has to be the same text, a final slash included"
            )
        url = document.get("jwks_uri")
        if not isinstance(url, str):
            raise FetchError(f"{address}: the document names no jwks_uri")
        try:
            check_url(url, "jwks_uri")
        except ConfigurationError as error:
            raise FetchError(f"{address}: {error}") from None
        if is_loopback(url) and not is_loopback(self._address):
            raise FetchError(f"{address}: its jwks_uri is on this machine, which it is not")
        return url
