"""Where requests go, and with which headers: settings first, then the environment."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from licet._version import __version__
from licet.errors import ConfigurationError, ModelCredentialsError
from licet.secret_variables import FILE_SUFFIX, find_secret

KEY_VARIABLE = "OPENAI_API_KEY"
DEFAULT_BASE_URL = "https://api.openai.com/v1"
_SECRET_WORDS = ("auth", "cookie", "key", "secret", "token")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of chat completions. ``secrets`` are those of its headers."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """What a model says of its endpoint; what it leaves open, the environment says."""

    provider: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    organization: str | None = None
    project: str | None = None
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    extra_query: Mapping[str, str] = field(default_factory=dict)

    def resolve(self) -> Endpoint:
        """The endpoint as of now. An empty variable counts as unset.

        Raises:
            ConfigurationError: the base URL or the key cannot be used.
            ModelCredentialsError: OpenAI itself is to be asked, and there is no key; or the
                environment's cannot be had.
        """
        base_url = self.base_url or os.environ.get("OPENAI_BASE_URL", "").strip() or None
        api_key = (self.api_key or self._key_of_environment()).strip()
        has_own_credentials = any(name.lower() == "authorization" for name in self.extra_headers)
        if not api_key and base_url is None and not has_own_credentials:
            raise ModelCredentialsError(
                f"no API key: set the environment variable {KEY_VARIABLE}, or "
                f"{KEY_VARIABLE}{FILE_SUFFIX} to the file that holds it, or give api_key=",
                provider=self.provider,
            )
        if not (api_key.isascii() and api_key.isprintable()):
            raise ConfigurationError("the API key holds characters that no HTTP header can carry")
        url = check_base_url(base_url or DEFAULT_BASE_URL) + "/chat/completions"
        if self.extra_query:
            url += "?" + urlencode(self.extra_query)
        headers = {"Content-Type": "application/json", "User-Agent": f"licet/{__version__}"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        if organization := self.organization or os.environ.get("OPENAI_ORG_ID"):
            headers["OpenAI-Organization"] = organization
        if project := self.project or os.environ.get("OPENAI_PROJECT_ID"):
            headers["OpenAI-Project"] = project
        headers.update(self.extra_headers)
        return Endpoint(url=url, headers=headers, secrets=secrets_of(headers))

    def _key_of_environment(self) -> str:
        try:
            secret = find_secret(KEY_VARIABLE)
        except ConfigurationError as error:
            # Whoever runs the agent is told this; what file there is on the server, the log is.
            raise ModelCredentialsError(
                "the API key of the environment cannot be had; the server's log says why",
                provider=self.provider,
            ) from error
        return "" if secret is None else secret.value


@functools.lru_cache(maxsize=64)
def check_base_url(base_url: str) -> str:
    """The URL without its last slash.

    Raises:
        ConfigurationError: it is no http or https URL, or carries a password, a query or a
            fragment.
    """
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        usable = usable and base_url.isprintable() and not set(base_url) & set(" \\")
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            "base_url is no http or https URL; it looks like 'http://127.0.0.1:11434/v1'"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(
            "base_url holds a user name, a query or a fragment; "
            "use api_key, extra_headers and extra_query"
        )
    return base_url.rstrip("/")


def secrets_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The header values that must not show up in a message, longest first."""
    values = {
        secret
        for name, value in headers.items()
        if any(word in name.lower() for word in _SECRET_WORDS)
        for secret in (value, value.rpartition(" ")[2])
    }
    return tuple(sorted(values, key=len, reverse=True))
